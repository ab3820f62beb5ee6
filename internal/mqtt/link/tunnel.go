package link

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"golang.org/x/net/proxy"
)

// through connects to hostPort through a proxy. The returned connection carries
// only bytes of the broker.
func (d *Dialer) through(ctx context.Context, p Address, hostPort string) (net.Conn, error) {
	if p.socks() {
		return d.socks(ctx, p, hostPort)
	}
	nc, err := d.connect(ctx, p.HostPort())
	if err == nil && p.Scheme == "https" {
		nc, err = d.secureProxy(ctx, nc, p)
	}
	if err != nil {
		return nil, err
	}
	// Unblocks reads and writes. The later owner of the connection sets its own
	// deadlines.
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Now()) })
	err = tunnel(nc, p, hostPort)
	if !stop() {
		err = ctx.Err()
	}
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	return nc, nil
}

// secureProxy encrypts the connection to the proxy. It verifies the proxy like
// a broker but presents no client certificate.
func (d *Dialer) secureProxy(ctx context.Context, raw net.Conn, p Address) (net.Conn, error) {
	config, err := d.tlsConfig(p)
	if err != nil {
		_ = raw.Close()
		return nil, err
	}
	config.ServerName, config.NextProtos = p.Host, []string{"http/1.1"}
	config.Certificates, config.GetClientCertificate = nil, nil
	nc, err := encrypt(ctx, raw, config)
	if err != nil {
		return nil, err
	}
	return nc, nil
}

// tunnel requests a tunnel from an HTTP proxy with CONNECT (RFC 9110, section
// 9.3.6).
func tunnel(nc net.Conn, p Address, hostPort string) error {
	req := &http.Request{
		Method: http.MethodConnect, URL: &url.URL{Opaque: hostPort}, Host: hostPort, Header: make(http.Header),
	}
	if p.Username != "" || p.Password != "" {
		login := base64.StdEncoding.EncodeToString([]byte(p.Username + ":" + string(p.Password)))
		req.Header.Set("Proxy-Authorization", "Basic "+login)
	}
	if err := req.Write(nc); err != nil {
		return fmt.Errorf("CONNECT: %w", err)
	}
	answer := bufio.NewReader(io.LimitReader(nc, controlLimit))
	resp, err := http.ReadResponse(answer, req)
	if err != nil {
		return fmt.Errorf("no answer to CONNECT: %w", err)
	}
	_ = resp.Body.Close()
	switch {
	case resp.StatusCode/100 != 2:
		return fmt.Errorf("CONNECT is answered with %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	case answer.Buffered() > 0: // the client speaks first in MQTT, TLS and HTTP
		return errors.New("unexpected bytes after the answer to CONNECT")
	}
	return nil
}

// socks connects through a SOCKS5 proxy (RFC 1928, RFC 1929).
func (d *Dialer) socks(ctx context.Context, p Address, hostPort string) (net.Conn, error) {
	var login *proxy.Auth
	if p.Username != "" {
		login = &proxy.Auth{User: p.Username, Password: string(p.Password)}
	}
	var raw net.Conn
	dialer, err := proxy.SOCKS5("tcp", p.HostPort(), login, forward(func(ctx context.Context, hostPort string) (net.Conn, error) {
		nc, err := d.connect(ctx, hostPort)
		raw = nc
		return nc, err
	}))
	if err != nil {
		return nil, err
	}
	//nolint:forcetypeassert // documented
	if _, err = dialer.(proxy.ContextDialer).DialContext(ctx, "tcp", hostPort); err != nil {
		if raw != nil {
			_ = raw.Close()
		}
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, os.ErrDeadlineExceeded): // the deadline is that of ctx, reported a moment earlier
			return nil, context.DeadlineExceeded
		}
		if op, ok := errors.AsType[*net.OpError](err); ok && raw != nil {
			err = op.Err // without the addresses, which the surrounding errors contain
		}
		return nil, fmt.Errorf("SOCKS: %w", err)
	}
	return raw, nil // return raw, because the wrapper hides methods of a TCP connection
}

// forward dials a SOCKS proxy.
type forward func(ctx context.Context, hostPort string) (net.Conn, error)

// Dial implements [proxy.Dialer].
func (f forward) Dial(_, hostPort string) (net.Conn, error) { return f(context.Background(), hostPort) }

// DialContext implements [proxy.ContextDialer].
func (f forward) DialContext(ctx context.Context, _, hostPort string) (net.Conn, error) {
	return f(ctx, hostPort)
}
