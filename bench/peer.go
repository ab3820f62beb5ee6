package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/null"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// addresses is what a broker's process says about itself.
type addresses struct {
	TCP, TLS    string
	Certificate []byte // PEM
}

// serveNull is the process of the null broker. It ends with its standard input.
func serveNull() error {
	cert, pem, err := null.Certificate()
	if err != nil {
		return err
	}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	below, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	secure := tls.NewListener(below, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12})
	sent, err := payloads()
	if err != nil {
		return err
	}
	b := null.NewBroker(sent)
	go b.Serve(plain)
	go b.Serve(secure)
	return announce(addresses{plain.Addr().String(), secure.Addr().String(), pem})
}

// serveBroker is the process of the in-process broker, with the bounds that
// mosquitto gets. It ends with its standard input.
func serveBroker(opts ...broker.Option) error {
	b, err := broker.Listen(append(opts, broker.MaxInflight(65535), broker.ReceiveMaximum(65535), broker.MaxQueued(0))...)
	if err != nil {
		return err
	}
	defer b.Close()
	return announce(addresses{TCP: b.Addr()})
}

// serveFile is [serveBroker] with a file, which is gone afterwards.
func serveFile() error {
	dir, err := os.MkdirTemp("", "bench-broker-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return serveBroker(broker.WithFile(filepath.Join(dir, "journal")))
}

// announce tells the parent where it listens, and waits until that ends.
func announce(a addresses) error {
	if err := json.NewEncoder(os.Stdout).Encode(a); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// peer is a broker in a process of its own.
type peer struct {
	addresses
	stdin io.Closer
	cmd   *exec.Cmd
}

func startPeer(role string) (*peer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-role", role)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peer{stdin: stdin, cmd: cmd}
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &p.addresses)
	}
	if err != nil {
		p.stop()
		return nil, fmt.Errorf("%s broker: %w", role, err)
	}
	return p, nil
}

func (p *peer) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Wait()
}

func (p *peer) tlsConfig() (*tls.Config, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(p.Certificate) {
		return nil, errors.New("null broker: no certificate")
	}
	return &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}, nil
}
