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

// DialError describes which broker could not be reached. Its text contains
// neither user information nor the query.
type DialError struct {
	Address string
	Err     error
}

// Error returns the address and the cause.
func (e *DialError) Error() string { return fmt.Sprintf("dial %s: %v", e.Address, e.Err) }

// Unwrap returns the cause, such as a *net.OpError, a TLS error or a context
// error.
func (e *DialError) Unwrap() error { return e.Err }

// Dialer opens connections to brokers. The zero value dials every scheme and
// uses the system's certificate roots. Dial does not change the Dialer, so
// several goroutines may use it.
type Dialer struct {
	// TLS returns the configuration for encrypted schemes. It is called for
	// every dial, so that a renewed certificate is used for the next
	// connection. The result is cloned, versions below 1.2 are not negotiated,
	// and an empty ServerName means the host of the address. Default nil: the
	// system's roots.
	TLS func() (*tls.Config, error)
	// Timeout limits name resolution, connect and all handshakes together, in
	// addition to ctx. Default 10 s.
	Timeout time.Duration
	// UserTimeout is how long sent bytes may remain unacknowledged by the
	// peer's TCP before the system drops the connection (Linux only). Default
	// 30 s; negative means the system's setting. With Proxy the peer is the
	// proxy.
	UserTimeout time.Duration
	// Header is sent with the WebSocket handshake. Its keys are canonical
	// names. A Host entry sets the host of the request.
	Header http.Header
	// Path is the WebSocket path for addresses without one. Default "/mqtt".
	Path string
	// Proxy is the proxy for the TCP connection; TLS and WebSocket run inside
	// it. The zero value means no proxy, whatever the environment contains.
	Proxy Proxy
	// Certified is called after each TLS handshake with the times at which the
	// certificates expire. Nil means no call.
	Certified func(Ends)
}

// Dial connects to a and completes the TLS and WebSocket handshakes. TCP
// keep-alive and TCP_NODELAY are enabled. ctx applies to dialing only, not to
// the connection. Errors are [*DialError].
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
	var ends Ends
	nc, err := encrypt(ctx, raw, ends.watch(config))
	if err != nil {
		return nil, err
	}
	if d.Certified != nil {
		d.Certified(ends.presented(nc))
	}
	return nc, nil
}

// encrypt performs the TLS handshake on raw and closes raw if it fails.
func encrypt(ctx context.Context, raw net.Conn, config *tls.Config) (*tls.Conn, error) {
	nc := tls.Client(raw, config)
	if err := nc.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("TLS handshake: %w", err)
	}
	return nc, nil
}
