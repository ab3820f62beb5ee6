package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

const opConnect = "connect"

// supervise owns the connection: one at a time, a new client object for each,
// until the session is closed.
func (s *Session) supervise() {
	defer close(s.done)
	var (
		failures int // in a row
		takeover int // connections in a row that the broker ended at once
		down     = time.Now()
	)
	for next := 0; s.running.Err() == nil; {
		addr := s.cfg.Addresses[next%len(s.cfg.Addresses)]
		c, ctl, err := s.connect(addr)
		if err != nil {
			failures++
			takeover = 0 // the broker itself is away, or the way to it: that is nobody else with our id
			next++       // after a loss the same address comes first: our session is there
			if !s.failed(addr, err, failures, time.Since(down)) {
				return
			}
			continue
		}
		s.hold(c, ctl, addr)
		down = time.Now()
		if failures = 0; c.life < takeoverWindow {
			failures = 1
		}
		if takeover = countTakeover(takeover, c); takeover >= takeoverLosses {
			s.takenOver(c)
		} else if !s.lost(addr, c, failures) {
			return
		}
	}
}

// failed reports an attempt that reached no connection and waits for the
// next; false ends the session.
func (s *Session) failed(addr link.Address, err error, failures int, down time.Duration) bool {
	if permanent(err) {
		failures, down = slowly, s.cfg.MaxReconnectDelay
	}
	delay := s.backoff(failures, down)
	return s.pause(err, ConnectFailed{s.cfg.ClientID, addr.String(), err, delay}, delay)
}

// lost reports the end of a connection and waits for the next attempt.
func (s *Session) lost(addr link.Address, c *conn, failures int) bool {
	delay := s.backoff(failures, 0)
	err := c.lossError()
	return s.pause(err, ConnectionLost{s.cfg.ClientID, addr.String(), err, delay}, delay)
}

func (s *Session) pause(err error, event Event, delay time.Duration) bool {
	if s.running.Err() != nil {
		return false
	}
	s.down(err)
	s.cfg.Notify(event)
	if s.cfg.NoReconnect {
		s.ended(err)
		s.out.close(err)
		return false
	}
	s.sleep(delay)
	return true
}

// connect is one attempt. It includes what it takes to find the version that
// the broker speaks.
func (s *Session) connect(addr link.Address) (c *conn, ctl control, err error) {
	for range closesBeforeFallback + 1 {
		var undecided bool
		if c, ctl, undecided, err = s.dial(addr); !undecided {
			break
		}
	}
	return c, ctl, err
}

// dial opens a connection to addr and performs the handshake, within the
// connect timeout. Undecided means to try again at once.
func (s *Session) dial(addr link.Address) (c *conn, ctl control, undecided bool, err error) {
	ctx, cancel := context.WithTimeout(s.running, s.cfg.ConnectTimeout)
	defer cancel()
	k, err := s.credentials(ctx, addr)
	if err != nil {
		return nil, nil, false, &Error{Op: opConnect, Reason: ReasonNotAuthorized, Cause: fmt.Errorf("credentials: %w", err)}
	}
	version := s.cfg.Negotiation.version()
	fresh := s.cfg.FreshStart && !s.cfg.CleanSession && !s.began
	if fresh && version != wire.V5 {
		if err := s.purge(ctx, addr, k); err != nil {
			return nil, nil, false, err
		}
	}
	nc, err := s.socket(ctx, addr)
	if err != nil {
		return nil, nil, false, err
	}
	c, ctl, err = s.handshake(ctx, &s.cfg, nc, version, k)
	if err != nil {
		undecided = s.running.Err() == nil && s.cfg.Negotiation.failed(version, err)
		return nil, nil, undecided, connectError(err)
	}
	if fresh && c.connack.SessionPresent {
		if c, ctl, err = s.renew(ctx, c, ctl, addr, k); err != nil {
			return nil, nil, false, err
		}
	}
	s.began = true
	return c, ctl, false, nil
}

// handshake connects on a socket, which is closed when it fails.
func (s *Session) handshake(ctx context.Context, cfg *Config, nc net.Conn, version wire.Version, k credentials) (c *conn, ctl control, err error) {
	c = newConn(s, version)
	c.link = link.New(nc, c, link.Options{
		Version: c.version, MaxPacketSize: cfg.MaxPacketSize, WriteTimeout: cfg.WriteTimeout,
	})
	ctl = newControl(cfg, c)
	err = ctl.connect(ctx, c.link, k)
	if err == nil && c.connack.Reason != 0 {
		err = connackError(c.connack.Reason) // one that the library does not know
	}
	if err != nil {
		s.drop(c, ctl)
		return nil, nil, c.refusal(err)
	}
	return c, ctl, nil
}

func (s *Session) socket(ctx context.Context, addr link.Address) (net.Conn, error) {
	d := link.Dialer{TLS: s.cfg.TLS, Header: s.cfg.Header, Timeout: s.cfg.ConnectTimeout}
	nc, err := d.Dial(ctx, addr)
	if err != nil {
		return nil, &Error{Op: opConnect, Reason: ReasonNetwork, Cause: err}
	}
	return nc, nil
}

func newControl(cfg *Config, c *conn) control {
	if c.version == wire.V5 {
		return &control5{cfg: cfg, onClose: c.dismissed}
	}
	return &control311{cfg: cfg}
}

func (s *Session) credentials(ctx context.Context, addr link.Address) (k credentials, err error) {
	k = credentials{addr.Username, string(addr.Password)}
	if s.cfg.Credentials != nil {
		k.username, k.password, err = s.cfg.Credentials(ctx)
	}
	return k, err
}

func connectError(err error) error {
	reason := ReasonNetwork
	if code, ok := errors.AsType[*CodeError](err); ok {
		reason = reasonOfConnack(code.Code)
	}
	return &Error{Op: opConnect, Reason: reason, Cause: err}
}

// hold subscribes and stays until the connection ends or the session closes.
func (s *Session) hold(c *conn, ctl control, addr link.Address) {
	s.state.set(func(st *Status) { st.Connected, st.Attempts, st.LastError = true, 0, nil })
	s.cfg.Notify(Connected{s.cfg.ClientID, addr.String(), c.connack.SessionPresent})
	s.subs.serve(s, c, ctl)
	if s.running.Err() != nil {
		ctl.disconnect() // behind everything that is queued
	}
	s.drop(c, ctl)
	s.state.set(func(st *Status) { st.Connected, st.Ready = false, false })
}

// drop ends the socket and every goroutine of the library.
func (s *Session) drop(c *conn, ctl control) {
	_ = c.link.Close()
	ctl.disconnect()
	<-c.closed
}

func (s *Session) down(err error) {
	s.state.set(func(st *Status) { st.Attempts++; st.LastError = err })
}

// countTakeover counts connections that the broker itself ended right after
// CONNACK; a reset or a timeout is the network's doing.
func countTakeover(n int, c *conn) int {
	if code := c.dismissal.Load(); code != nil {
		if code.Code == wire.ReasonSessionTakenOver {
			return takeoverLosses
		}
		return 0 // it had another reason, such as its own end
	}
	if c.life < takeoverWindow && errors.Is(c.err, io.EOF) {
		return n + 1
	}
	return 0
}

// takenOver stops the fight over a client id: from here on one attempt after
// half to all of the maximum delay, until a connection holds. A fleet that takes
// something else for it must not come back at the same instant either.
func (s *Session) takenOver(c *conn) {
	if s.running.Err() != nil {
		return
	}
	half := s.cfg.MaxReconnectDelay / 2
	delay := half + rand.N(half+1)
	err := &Error{Op: opConnect, Reason: ReasonTakenOver, Cause: fmt.Errorf(
		"the broker ended our connections for those of another client: does it use the client id %q, too? %w",
		s.cfg.ClientID, c.cause())}
	s.down(err)
	s.cfg.Notify(TakenOver{s.cfg.ClientID, delay})
	s.sleep(delay)
}

// slowly is the number of failures after which attempts are as rare as they get.
const slowly = 30

// backoff is exponential with full jitter, so that a fleet does not come back
// at the same instant. After the first pauses none is longer than the outage
// has been so far: some short ones in a row must not make a client stay away
// for many times as long as the broker did.
func (s *Session) backoff(failures int, down time.Duration) time.Duration {
	limit := s.cfg.MaxReconnectDelay
	if shift := min(failures, slowly); s.cfg.MinReconnectDelay < limit>>shift {
		limit = s.cfg.MinReconnectDelay << shift
	}
	return rand.N(min(limit, max(down, 2*s.cfg.MinReconnectDelay)) + 1)
}

func (s *Session) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-s.running.Done():
	}
}
