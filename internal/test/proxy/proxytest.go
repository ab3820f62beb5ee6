// Package proxy has proxies for tests, on loopback.
package proxy

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"strconv"
	"testing"
	"time"
)

// Planted is part of the text with which a proxy refuses; no error or log may repeat it.
const Planted = "planted-by-the-proxy"

// Proxy supports CONNECT in clear text and over TLS, and SOCKS5, each on its own port. Set its
// fields before the first connection.
type Proxy struct {
	// To is the destination of all connections; "" means the one that the client requests.
	To string
	// Login is the required user:password; "" requires none.
	Login string
	// Asked receives the host:port of each connection, as requested by the client.
	Asked chan string

	ports map[string]string // by scheme
}

// New starts a proxy, which ends with the test. Without a TLS configuration it has no port for
// https.
func New(t testing.TB, config *tls.Config) *Proxy {
	t.Helper()
	p := &Proxy{Asked: make(chan string, 1000), ports: make(map[string]string)}
	p.ports["http"] = listen(t, nil, p.connect)
	p.ports["socks5"] = listen(t, nil, p.socks)
	p.ports["socks5h"] = p.ports["socks5"]
	if config != nil {
		p.ports["https"] = listen(t, config, p.connect)
	}
	return p
}

// URL returns the URL of the proxy, with user information unless user is empty.
func (p *Proxy) URL(scheme, user string) string {
	if user != "" {
		user += "@"
	}
	return scheme + "://" + user + p.ports[scheme]
}

func listen(t testing.TB, config *tls.Config, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if config != nil {
		l = tls.NewListener(l, config)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = nc.Close() }()
				serve(nc)
			}()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	return address
}

func (p *Proxy) connect(nc net.Conn) {
	req, err := http.ReadRequest(bufio.NewReader(nc))
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	want := "Basic " + base64.StdEncoding.EncodeToString([]byte(p.Login))
	if p.Login != "" && req.Header.Get("Proxy-Authorization") != want {
		_, _ = io.WriteString(nc, "HTTP/1.1 407 "+Planted+"\r\nContent-Length: 2\r\n\r\nno")
		return
	}
	p.carry(nc, req.Host, func(ok bool) {
		status := "200 OK"
		if !ok {
			status = "502 " + Planted
		}
		_, _ = io.WriteString(nc, "HTTP/1.1 "+status+"\r\nVia: test\r\n\r\n")
	})
}

// socks implements RFC 1928 with the login of RFC 1929.
func (p *Proxy) socks(nc net.Conn) {
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(nc, b)
		return b
	}
	text := func() string { return string(read(int(read(1)[0]))) }
	read(int(read(2)[1])) // methods
	if p.Login == "" {
		_, _ = nc.Write([]byte{5, 0})
	} else {
		_, _ = nc.Write([]byte{5, 2})
		read(1)
		login := text() + ":" + text()
		if login != p.Login {
			_, _ = nc.Write([]byte{1, 1})
			return
		}
		_, _ = nc.Write([]byte{1, 0})
	}
	var host string
	switch read(4)[3] {
	case 1:
		host = net.IP(read(net.IPv4len)).String()
	case 3:
		host = text()
	case 4:
		host = net.IP(read(net.IPv6len)).String()
	}
	host = net.JoinHostPort(host, strconv.Itoa(int(binary.BigEndian.Uint16(read(2)))))
	p.carry(nc, host, func(ok bool) {
		code := byte(0)
		if !ok {
			code = 5
		}
		_, _ = nc.Write([]byte{5, code, 0, 1, 0, 0, 0, 0, 0, 0})
	})
}

func (p *Proxy) carry(nc net.Conn, host string, answer func(ok bool)) {
	p.Asked <- host
	if p.To != "" {
		host = p.To
	}
	up, err := net.DialTimeout("tcp", host, time.Minute)
	answer(err == nil)
	if err != nil {
		return
	}
	defer func() { _ = up.Close() }()
	go func() {
		_, _ = io.Copy(up, nc)
		if half, ok := up.(*net.TCPConn); ok {
			_ = half.CloseWrite()
		}
	}()
	_, _ = io.Copy(nc, up)
}
