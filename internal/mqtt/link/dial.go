package link

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"time"
)

const (
	defaultDialTimeout = 10 * time.Second
	defaultUserTimeout = 30 * time.Second
)

// DialError says which broker could not be reached. Its text holds no user
// information and no query.
type DialError struct {
	Address string
	Err     error
}

// Error returns address and cause.
func (e *DialError) Error() string { return fmt.Sprintf("dial %s: %v", e.Address, e.Err) }

// Unwrap returns the cause: a *net.OpError, a TLS error, a context error, …
func (e *DialError) Unwrap() error { return e.Err }

// Dialer opens connections to brokers. The zero value dials every scheme, with
// the system's certificate roots. A Dialer is not changed by Dial and may be
// used by several goroutines.
type Dialer struct {
	// TLS returns the configuration for encrypted schemes. It is called for
	// every dial, so that renewed certificates count at the next connection.
	// The result is cloned; versions below 1.2 are not negotiated and
	// ServerName is the address' host when empty. nil: system roots.
	TLS func() (*tls.Config, error)
	// Timeout bounds name resolution, connect and all handshakes together,
	// beside ctx. Default 10 s.
	Timeout time.Duration
	// UserTimeout is how long sent bytes may stay unacknowledged by the peer's
	// TCP before the system drops the connection (Linux only). Default 30 s,
	// negative: the system's setting. With Proxy the peer is the proxy.
	UserTimeout time.Duration
	// Header is sent with the WebSocket handshake, by canonical names. A Host in it
	// is that of the request.
	Header http.Header
	// Path is the WebSocket path of addresses without one. Default "/mqtt".
	Path string
	// Proxy is what the TCP connection goes through; TLS and WebSocket run inside.
	// The zero value is none, whatever the environment says.
	Proxy Proxy
}

// Dial connects to a and completes the TLS and WebSocket handshakes. TCP
// keep-alive and TCP_NODELAY are on. ctx bounds the dialing only, not the
// connection. Errors are [*DialError].
func (d *Dialer) Dial(ctx context.Context, a Address) (net.Conn, error) {
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = defaultDialTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	nc, err := d.dial(ctx, a)
	if err != nil {
		return nil, &DialError{Address: a.String(), Err: err}
	}
	return nc, nil
}

func (d *Dialer) dial(ctx context.Context, a Address) (net.Conn, error) {
	switch {
	case a.WebSocket():
		return d.dialWebSocket(ctx, a)
	case a.Secure():
		return d.dialTLS(ctx, a)
	default:
		return d.dialTCP(ctx, a)
	}
}

func (d *Dialer) dialTCP(ctx context.Context, a Address) (net.Conn, error) {
	proxy, ok := d.Proxy.of(a)
	if !ok {
		return d.connect(ctx, a.HostPort())
	}
	nc, err := d.through(ctx, proxy, a.HostPort())
	if err != nil {
		return nil, &ProxyError{Proxy: proxy.String(), Err: err}
	}
	return nc, nil
}

func (d *Dialer) connect(ctx context.Context, hostPort string) (net.Conn, error) {
	userTimeout := d.UserTimeout
	if userTimeout == 0 {
		userTimeout = defaultUserTimeout
	}
	nd := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true},
		ControlContext:  setUserTimeout(userTimeout),
	}
	return nd.DialContext(ctx, "tcp", hostPort)
}

func (d *Dialer) dialTLS(ctx context.Context, a Address) (net.Conn, error) {
	config, err := d.tlsConfig(a)
	if err != nil {
		return nil, err
	}
	raw, err := d.dialTCP(ctx, a)
	if err != nil {
		return nil, err
	}
	return encrypt(ctx, raw, config)
}

// encrypt makes the TLS handshake on a connection, which is closed when it fails.
func encrypt(ctx context.Context, raw net.Conn, config *tls.Config) (net.Conn, error) {
	nc := tls.Client(raw, config)
	if err := nc.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return nc, nil
}
