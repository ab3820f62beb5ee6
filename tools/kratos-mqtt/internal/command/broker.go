package command

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/certificate"
)

// serving has the flags of a development broker.
type serving struct {
	address, tls, webSocket, secureWebSocket string
	certificate, key, clients, folder        string
	users, file                              string
	anywhere                                 bool
	maxPacket, maxQueued                     int
}

func (o *serving) flags(c *cobra.Command) {
	f := c.Flags()
	f.StringVar(&o.address, "address", "127.0.0.1:1883", "address to listen on; port 0 takes a free one")
	f.StringVar(&o.tls, "tls", "", "also listen with TLS, such as 127.0.0.1:8883")
	f.StringVar(&o.webSocket, "ws", "", "also listen for WebSocket, such as 127.0.0.1:8083")
	f.StringVar(&o.secureWebSocket, "wss", "", "also listen for WebSocket with TLS")
	f.StringVar(&o.certificate, "server-cert", "", "file with the certificate of the broker (default: one that is made for this machine)")
	f.StringVar(&o.key, "server-key", "", "file with its key")
	f.StringVar(&o.folder, "tls-folder", "", "folder of the certificate that is made (default: in the user's cache)")
	f.StringVar(&o.clients, "client-ca", "", "file with the authorities of client certificates, which are then required with TLS")
	f.StringVar(&o.users, "users", "", "file with the users to let in, one NAME:PASSWORD a line (default: everybody)")
	f.StringVar(&o.file, "file", "", "file that keeps sessions and retained messages (default: memory)")
	f.BoolVar(&o.anywhere, "allow-remote", false, "allow addresses that other machines can reach")
	f.IntVar(&o.maxPacket, "max-packet", 0, "size of the largest packet to accept, in bytes (default: 16 MiB)")
	f.IntVar(&o.maxQueued, "max-queued", 0, "number of messages to keep for a session that is away (default: 1000000)")
}

func (s *session) brokerCommand() *cobra.Command {
	o := new(serving)
	c := &cobra.Command{
		Use: "broker", GroupID: groupDevelop, Args: cobra.NoArgs,
		Short: "Start a broker for development",
		Long: `Starts a broker for MQTT 3.1.1 and 5 in this program, until it is interrupted. It is for
development and listens on this machine only, unless --allow-remote is given.

With --tls or --wss and without --server-cert it makes a certificate, and prints the file of the
authority, which clients pass as --ca. The certificate is used again at the next start.`,
		Example: `kratos-mqtt broker
kratos-mqtt broker --address 127.0.0.1:0 --ws 127.0.0.1:8083 --file broker.journal
kratos-mqtt broker --tls 127.0.0.1:8883 --users users.txt`,
		RunE: func(c *cobra.Command, _ []string) error {
			b, places, err := s.serve(o)
			if err != nil {
				return err
			}
			defer b.Close()
			if err := s.writePlaces(s.Out, places); err != nil {
				return err
			}
			<-c.Context().Done()
			n := b.Stats()
			fmt.Fprintf(s.Err, "%d sessions, %d retained messages, %d messages dropped\n", len(b.Sessions()), n.Retained, n.Dropped)
			return nil
		},
	}
	o.flags(c)
	return c
}

// places are where a broker listens.
type places struct {
	MQTT            string `json:"mqtt"`
	TLS             string `json:"mqtts,omitempty"`
	WebSocket       string `json:"ws,omitempty"`
	SecureWebSocket string `json:"wss,omitempty"`
	CA              string `json:"ca,omitempty"`
	File            string `json:"file,omitempty"`
	Console         string `json:"console,omitempty"` // of the command dev
}

func (s *session) writePlaces(w io.Writer, p places) error {
	if s.json {
		return json.NewEncoder(w).Encode(p)
	}
	for _, url := range []string{p.MQTT, p.TLS, p.WebSocket, p.SecureWebSocket, p.Console} {
		if url != "" {
			fmt.Fprintln(w, url)
		}
	}
	if p.CA != "" {
		fmt.Fprintln(w, "clients trust it with --ca", p.CA)
	}
	kept := "sessions and retained messages are in memory: --file keeps them"
	if p.File != "" {
		kept = "sessions and retained messages are in " + p.File
	}
	_, err := fmt.Fprintln(w, kept)
	return err
}

// serve starts a broker.
func (s *session) serve(o *serving) (*broker.Broker, places, error) {
	p := places{File: o.file}
	if o.webSocket != "" && o.secureWebSocket != "" {
		return nil, p, errors.New("--ws and --wss: want one of them")
	}
	opts := []broker.Option{broker.WithAddress(o.address)}
	if s.verbose {
		opts = append(opts, broker.WithLogger(slog.New(slog.NewTextHandler(s.Err, nil))))
	}
	if o.anywhere {
		opts = append(opts, broker.AllowNonLoopback())
	}
	if o.file != "" {
		opts = append(opts, broker.WithFile(o.file))
	}
	if o.maxPacket != 0 {
		opts = append(opts, broker.MaxPacket(o.maxPacket))
	}
	if o.maxQueued != 0 {
		opts = append(opts, broker.MaxQueued(o.maxQueued))
	}
	if o.users != "" {
		users, err := readUsers(o.users)
		if err != nil {
			return nil, p, err
		}
		opts = append(opts, broker.WithUsers(passwords(users)))
	}
	if o.webSocket != "" {
		opts = append(opts, broker.WithWebSocket(o.webSocket, nil))
	}
	if o.tls != "" || o.secureWebSocket != "" {
		config, ca, err := o.secure()
		if err != nil {
			return nil, p, err
		}
		p.CA = ca
		if o.tls != "" {
			opts = append(opts, broker.WithTLS(o.tls, config))
		}
		if o.secureWebSocket != "" {
			opts = append(opts, broker.WithWebSocket(o.secureWebSocket, config))
		}
	}
	b, err := broker.Listen(opts...)
	switch {
	case errors.Is(err, broker.ErrNotLoopback):
		return nil, p, fmt.Errorf("%w: --allow-remote permits it", err)
	case err != nil:
		return nil, p, err
	}
	p.MQTT, p.TLS = b.URL(), b.TLSURL()
	if o.webSocket != "" {
		p.WebSocket = b.WebSocketURL()
	} else if o.secureWebSocket != "" {
		p.SecureWebSocket = b.WebSocketURL()
	}
	return b, p, nil
}

// secure returns the TLS configuration, and the file of the authority if the certificate was
// made here.
func (o *serving) secure() (config *tls.Config, ca string, err error) {
	var pair tls.Certificate
	if (o.certificate == "") != (o.key == "") {
		return nil, "", errors.New("--server-cert and --server-key: want both or neither")
	}
	if o.certificate != "" {
		pair, err = tls.LoadX509KeyPair(o.certificate, o.key)
	} else {
		pair, ca, err = o.made()
	}
	if err != nil {
		return nil, "", err
	}
	config = &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if o.clients == "" {
		return config, ca, nil
	}
	config.ClientAuth = tls.RequireAndVerifyClientCert
	config.ClientCAs, err = authorities(o.clients)
	return config, ca, err
}

// made returns a certificate for this machine.
func (o *serving) made() (tls.Certificate, string, error) {
	folder := o.folder
	if folder == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return tls.Certificate{}, "", fmt.Errorf("%w: want --tls-folder", err)
		}
		folder = filepath.Join(cache, "kratos-mqtt", "tls")
	}
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, address := range []string{o.tls, o.secureWebSocket} {
		if host, _, err := net.SplitHostPort(address); err == nil && host != "" && !net.ParseIP(host).IsUnspecified() {
			hosts = append(hosts, host)
		}
	}
	if name, err := os.Hostname(); err == nil && o.anywhere {
		hosts = append(hosts, name)
	}
	return certificate.Server(folder, hosts...)
}

// readUsers reads names and passwords from a file, in its order.
func readUsers(path string) (users [][2]string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("%s:%d: want NAME:PASSWORD", path, n)
		}
		users = append(users, [2]string{name, password})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(users) == 0 {
		return nil, fmt.Errorf("%s has no users, so that nobody could connect", path)
	}
	return users, nil
}

func passwords(users [][2]string) map[string]string {
	all := make(map[string]string, len(users))
	for _, u := range users {
		all[u[0]] = u[1]
	}
	return all
}
