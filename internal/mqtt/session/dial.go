package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// dialer opens the connections of a session, one at a time, and performs their
// handshakes. It belongs to the supervisor.
type dialer struct {
	s       *Session
	began   bool  // there has been a connection
	renewed bool  // the session of an earlier process has been discarded
	trying  int   // index of the address
	renewal int64 // number of calls of Renew that the connection knows of
	shows   bool  // the last TLS configuration has a client certificate
	login   callback[credentials]
	secured callback[*tls.Config]
	asking  callback[authStep] // of the present connection, and between connections of the dialer
}

// connect makes one attempt at one address, including the tries needed to
// determine the broker's protocol version.
func (d *dialer) connect(addr link.Address) (c *conn, ctl control, err error) {
	for range closesBeforeFallback + 1 {
		var undecided bool
		if c, ctl, undecided, err = d.dial(addr); !undecided {
			break
		}
	}
	return c, ctl, err
}

// dial opens a connection to addr and performs the handshake within the connect
// timeout. If undecided is true, try again at once.
func (d *dialer) dial(addr link.Address) (c *conn, ctl control, undecided bool, err error) {
	ctx, cancel := context.WithTimeout(d.s.running, d.s.cfg.ConnectTimeout)
	defer cancel()
	d.renewal = d.s.renewals.Load()
	select {
	case <-d.s.hurry: // this attempt uses what is new
	default:
	}
	k, err := d.credentials(ctx, addr)
	if err != nil {
		return nil, nil, false, &event.Error{Op: opConnect, Reason: event.ReasonNotAuthorized, Cause: fmt.Errorf("credentials: %w", err)}
	}
	version := d.s.cfg.Negotiation.version()
	fresh := d.s.cfg.FreshStart && !d.s.cfg.CleanSession && (!d.began && !d.renewed || d.s.out.idsExhausted())
	if fresh && version != wire.V5 {
		if err := d.purge(ctx, addr, k); err != nil {
			return nil, nil, false, err
		}
		d.renewed = true
	}
	nc, err := d.socket(ctx, addr)
	if err != nil {
		return nil, nil, false, err
	}
	c, ctl, err = d.handshake(ctx, &d.s.cfg, nc, version, k, func(present bool) bool { return fresh && present })
	if err != nil {
		undecided = d.s.running.Err() == nil && d.s.cfg.Negotiation.failed(version, err)
		return nil, nil, undecided, connectError(err)
	}
	if fresh && c.connack.SessionPresent {
		if c, ctl, err = d.renew(ctx, c, ctl, addr, k); err != nil {
			return nil, nil, false, err
		}
	}
	d.began = true
	return c, ctl, false, nil
}

// handshake connects on a socket and closes it on failure. noMessages determines
// whether the connection carries no messages.
func (d *dialer) handshake(ctx context.Context, cfg *Config, nc net.Conn, version wire.Version, k credentials, noMessages func(present bool) bool) (c *conn, ctl control, err error) {
	c = newConn(d.s, version, d.trying)
	c.clean, c.wantNoMessages = cfg.CleanSession, noMessages
	c.link = link.New(nc, c, link.Options{
		Version: c.version, MaxPacketSize: cfg.MaxPacketSize, WriteTimeout: cfg.WriteTimeout,
		AckLimit: cfg.ackLimit(), ReceiveMaximum: uint16(cfg.ReceiveMaximum),
	})
	ctl = newControl(cfg, c)
	if cfg.Authenticator != nil {
		if err = d.authenticate(ctx, c, cfg); err != nil {
			drop(c, ctl)
			return nil, nil, err
		}
		k.method, k.data = cfg.Authenticator.Method(), c.auth.exchange.Data
	}
	err = ctl.connect(ctx, c.link, k)
	if err == nil && c.auth != nil {
		err = c.auth.accepted(ctx, c.connack.AuthData)
	}
	if err == nil && c.connack.Reason != 0 {
		err = connackError(c.connack.Reason) // a code that the library does not know
	}
	if err != nil {
		drop(c, ctl)
		if known := tlsCause(c.err, d.shows); event.TLSProblemOf(known) != "" {
			err = fmt.Errorf("no CONNACK: %w", known)
		}
		return nil, nil, c.refusal(c.auth.reason(err))
	}
	return c, ctl, nil
}

func (d *dialer) socket(ctx context.Context, addr link.Address) (net.Conn, error) {
	to := link.Dialer{Header: d.s.cfg.Header, Timeout: d.s.cfg.ConnectTimeout, Proxy: d.s.cfg.Proxy, Certified: func(e link.Ends) { d.s.certificates.Store(&e) }}
	if d.s.cfg.TLS != nil {
		to.TLS = func() (config *tls.Config, err error) {
			config, err = d.secured.ask(ctx, d.s.panicked, d.s.cfg.TLS)
			d.shows = config != nil && (len(config.Certificates) > 0 || config.GetClientCertificate != nil)
			return config, err
		}
	}
	nc, err := to.Dial(ctx, addr)
	if err != nil {
		return nil, &event.Error{Op: opConnect, Reason: event.ReasonNetwork, Cause: tlsCause(err, d.shows)}
	}
	return nc, nil
}

func newControl(cfg *Config, c *conn) (ctl control) {
	ctl = &control311{cfg: cfg}
	if c.version == wire.V5 {
		ctl = &control5{cfg: cfg, onClose: c.dismissal.Store}
	}
	if cfg.SharePrefix != "" {
		ctl = sharedControl{ctl, cfg.SharePrefix}
	}
	return ctl
}

// credentials asks for new credentials for each connection.
func (d *dialer) credentials(ctx context.Context, addr link.Address) (k credentials, err error) {
	if d.s.cfg.Credentials == nil {
		return credentials{username: addr.Username, password: string(addr.Password)}, nil
	}
	return d.login.ask(ctx, d.s.panicked, func() (k credentials, err error) {
		k.username, k.password, err = d.s.cfg.Credentials(ctx)
		return k, err
	})
}

func connectError(err error) error {
	if e, ok := errors.AsType[*event.Error](err); ok {
		return e
	}
	reason := event.ReasonNetwork
	if code, ok := errors.AsType[*CodeError](err); ok {
		reason = reasonOfConnack(code.Code)
	}
	return &event.Error{Op: opConnect, Reason: reason, Cause: err}
}

// drop closes the socket and ends every goroutine of the library.
func drop(c *conn, ctl control) {
	_ = c.link.Close()
	ctl.disconnect(0)
	<-c.closed
	if c.auth != nil {
		<-c.auth.done
	}
}

// purge makes the broker discard its session, on a separate connection: MQTT
// 3.1.1 cannot start a persistent session clean.
func (d *dialer) purge(ctx context.Context, addr link.Address, k credentials) error {
	nc, err := d.socket(ctx, addr)
	if err != nil {
		return err
	}
	if err := purge311(ctx, &d.s.cfg, nc, k); err != nil {
		return connectError(err)
	}
	return nil
}

// renew does the same on MQTT 5, where CONNACK reports whether there is a
// session, and returns a connection without one. The connection with Clean
// Start is not kept: Mosquitto 2.0.11 saves no session whose last CONNECT had
// it, so that exchanges in flight would be lost with the next restart of the
// broker.
func (d *dialer) renew(ctx context.Context, old *conn, ctl control, addr link.Address, k credentials) (*conn, control, error) {
	ctl.disconnect(0) // otherwise the broker would publish the will
	drop(old, ctl)
	clean := d.s.cfg
	clean.CleanSession, clean.SessionExpiry, clean.Will = true, 0, nil
	var c *conn
	for _, cfg := range []*Config{&clean, &d.s.cfg} {
		noMessages := func(bool) bool { return cfg == &clean }
		nc, err := d.socket(ctx, addr)
		if err != nil {
			return nil, nil, err
		}
		if c, ctl, err = d.handshake(ctx, cfg, nc, wire.V5, k, noMessages); err != nil {
			return nil, nil, connectError(err)
		}
		if cfg == &clean {
			d.renewed = true // only once: a session that exists from now on may be in use
			drop(c, ctl)
		}
	}
	return c, ctl, nil
}
