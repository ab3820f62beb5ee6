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

// addresses is what the process of a broker reports about itself.
type addresses struct {
	TCP, TLS    string
	Certificate []byte // PEM
}

// serveNull runs the null broker as a process, until standard input is closed.
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

// serveBroker runs the in-process broker as a process, with the bounds that mosquitto
// gets, until standard input is closed.
func serveBroker(opts ...broker.Option) error {
	b, err := broker.Listen(append(opts, broker.MaxInflight(65535), broker.ReceiveMaximum(65535), broker.MaxQueued(0))...)
	if err != nil {
		return err
	}
	defer b.Close()
	return announce(addresses{TCP: b.Addr()})
}

// serveFile is [serveBroker] with a temporary file for sessions.
func serveFile() error {
	dir, err := os.MkdirTemp("", "bench-broker-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return serveBroker(broker.WithFile(filepath.Join(dir, "journal")))
}

// announce reports the addresses to the parent and waits until standard input is closed.
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
