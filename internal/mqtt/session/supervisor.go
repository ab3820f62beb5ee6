package session

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const opConnect = "connect"

// supervise owns the connection: one at a time, a new client object for each,
// until the session is closed.
func (s *Session) supervise() {
	defer close(s.done)
	r := retries{down: time.Now()}
	for s.running.Err() == nil {
		c, ctl, addr, err := s.connectAny(&r)
		if err != nil {
			r.failures++
			r.short = 0 // the broker itself is away, or the way to it: that is nobody else with our id
			s.unrest.otherwise()
			if !s.failed(addr, err, &r) {
				return
			}
			continue
		}
		r.placed = true
		s.hold(c, ctl, addr)
		if !s.lost(addr, c, &r) {
			return
		}
	}
}

// retries is what the pause before the next attempt depends on.
type retries struct {
	next       int       // of the addresses
	placed     bool      // there was a connection
	useless    int       // connections in a row that were of no use
	brief      int       // connections in a row that did not live, of use or not
	hasty      int       // connections in a row that were of use, and ended soon
	failures   int       // in a row without a useful exchange
	down       time.Time // since when there was none
	short      int       // connections in a row that the broker ended at once and in order
	suspicions int       // connections in a row that ended with suspects
}

// connectAny is one attempt: each address once, the one that was connected last
// first, because our session is there; before there was one, that which is of use
// to others. The error is that of the whole list, the
// address the last one that was tried.
func (s *Session) connectAny(r *retries) (c *conn, ctl control, addr link.Address, err error) {
	var errs []error
	if !r.placed {
		r.next = int(s.cfg.Negotiation.address.Load())
	}
	for i := range s.cfg.Addresses {
		s.trying = (r.next + i) % len(s.cfg.Addresses)
		addr = s.cfg.Addresses[s.trying]
		if c, ctl, err = s.connect(addr); err == nil {
			r.next = s.trying
			return c, ctl, addr, nil
		}
		errs = append(errs, err)
		if s.running.Err() != nil {
			break
		}
		if i < len(s.cfg.Addresses)-1 {
			s.cfg.Notify(ConnectFailed{s.cfg.ClientID, addr.String(), err, 0})
		}
	}
	return nil, nil, addr, attemptError(errs)
}

// failed reports an attempt that reached no connection and waits for the
// next; false ends the session.
func (s *Session) failed(addr link.Address, err error, r *retries) bool {
	failures, down := r.failures, time.Since(r.down)
	if Final(err) {
		failures, down = slowly, s.cfg.MaxReconnectDelay
	}
	delay := s.backoff(failures, down)
	last := err
	if list, ok := errors.AsType[*listError](err); ok {
		last = list.errs[len(list.errs)-1]
	}
	return s.pause(err, ConnectFailed{s.cfg.ClientID, addr.String(), last, delay}, delay, false)
}

// lost judges the end of a connection, reports it and waits for the next
// attempt; false ends the session.
func (s *Session) lost(addr link.Address, c *conn, r *retries) bool {
	if s.running.Err() != nil {
		return false
	}
	l := s.verdict(addr, c, r)
	s.account(c, r)
	r.leave(c, l)
	err := lossError(l)
	if l.Cause == event.CauseTakenOver {
		return s.takenOver(l, err)
	}
	delay := s.backoff(r.failures, time.Since(r.down))
	suspecting := r.suspicions > 0
	if suspecting && r.suspicions <= manySuspicions {
		delay = s.suspicionPause(r.suspicions)
	}
	return s.pause(err, ConnectionLost{l, err, delay}, delay, suspecting)
}

// Connections that are of use and end soon all the same, many in a row, get longer
// pauses, too: briefly granting something costs a broker nothing. They are a few
// seconds at most, since something is carried each time.
const (
	manyHasty     = 10
	hastyFailures = 4
)

// account lets pauses grow until a connection was of use: the broker granted,
// acknowledged or sent something on it, or it lived.
func (s *Session) account(c *conn, r *retries) {
	switch {
	case c.evidence.life >= takeoverWindow:
		r.failures, r.hasty, r.down = 0, 0, time.Now()
		return
	case !c.useful.Load():
	case r.hasty < manyHasty:
		r.hasty++
		r.failures, r.down = 0, time.Now()
	default:
		r.failures = min(r.failures, hastyFailures)
	}
	r.failures++
}

// leave goes on to the next address of the list where this one accepts
// connections and is of no use on them: twice in a row, since anything may be cut
// once, or at once when it names another server, or does not take or answer a
// filter, which another one may. One whose connections never live is left in the end
// even if something goes over them: it may grant nothing and send a message each time.
func (r *retries) leave(c *conn, l *event.LossError) {
	e := &c.evidence
	if r.brief++; e.life >= takeoverWindow {
		r.brief = 0
	}
	switch {
	case l.Cause == event.CauseMoved:
		r.next++
	case l.Cause == event.CauseLimits:
		r.next = c.parting.Load().next
	case l.Cause == event.CauseTakenOver: // it follows us everywhere
	case c.useful.Load() || e.life >= takeoverWindow && !isTimeout(e.err):
		if r.useless = 0; r.brief >= mostBrief {
			r.next++
			r.brief = 0
		}
	default:
		if r.useless++; r.useless > 1 || l.Cause == event.CauseSubscribe || errors.Is(e.err, errNoSuback) {
			r.next++
		}
	}
}

// mostBrief is how many connections in a row may end soon before another address is
// tried.
const mostBrief = 5

// verdict decides why a connection ended, and accuses what ended it.
func (s *Session) verdict(addr link.Address, c *conn, r *retries) *event.LossError {
	e := &c.evidence
	e.subscribing, e.short, e.cleared = s.subs.unanswered(), r.short, s.unrest.clearedInRow()
	loss := e.judge()
	loss.ClientID, loss.Address, loss.At = s.cfg.ClientID, addr.String(), time.Now()
	l := &loss
	if l.Contested || l.Cause == event.CauseTakenOver {
		s.out.share()
	}
	s.state.set(func(st *Status) { st.LastLoss = l })
	if !e.isSoon() {
		s.unrest.otherwise()
	}
	if e.isShort() || l.Code == wire.ReasonSessionTakenOver {
		r.short++
	} else {
		r.short = 0
	}
	if l.Code == wire.ReasonSessionTakenOver {
		r.short = takeoverLosses
	}
	switch {
	case l.Cause == event.CauseSubscribe:
		r.suspicions++
		if w := s.subs.accuse(l, e, &s.unrest); w != nil {
			r.short = 0
			s.answered(w, 0, convicted(opSubscribe, w.Filter.Filter, l))
		}
	case (l.Cause == event.CausePublish || l.Cause == event.CauseNetwork && l.Contested) && e.publishing.n > 0:
		r.suspicions++
		if s.out.accuse(l, e) {
			r.short = 0
			s.unrest.otherwise()
		}
		s.out.tell()
	default:
		r.suspicions = 0
		if l.Code == 0 && l.Cause != event.CauseLimits {
			s.unrest.cut(1)
		}
	}
	s.subs.await(nil)
	return l
}

// pause waits before the next attempt. While suspects are tried the outcome of
// the first attempt is open.
func (s *Session) pause(err error, event Event, delay time.Duration, suspecting bool) bool {
	if s.running.Err() != nil {
		return false
	}
	s.down(err, suspecting)
	s.cfg.Notify(event)
	if s.cfg.NoReconnect {
		s.ended(err)
		s.out.close(err)
		return false
	}
	s.sleep(delay)
	return true
}

// connect is one attempt at one address. It includes what it takes to find the
// version that the broker speaks.
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
		return nil, nil, false, &event.Error{Op: opConnect, Reason: event.ReasonNotAuthorized, Cause: fmt.Errorf("credentials: %w", err)}
	}
	version := s.cfg.Negotiation.version()
	fresh := s.cfg.FreshStart && !s.cfg.CleanSession && (!s.began && !s.renewed || s.out.isWorn())
	if fresh && version != wire.V5 {
		if err := s.purge(ctx, addr, k); err != nil {
			return nil, nil, false, err
		}
		s.renewed = true
	}
	nc, err := s.socket(ctx, addr)
	if err != nil {
		return nil, nil, false, err
	}
	c, ctl, err = s.handshake(ctx, &s.cfg, nc, version, k, func(present bool) bool { return fresh && present })
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

// handshake connects on a socket, which is closed when it fails. Whether the
// connection carries no messages is up to apart.
func (s *Session) handshake(ctx context.Context, cfg *Config, nc net.Conn, version wire.Version, k credentials, apart func(present bool) bool) (c *conn, ctl control, err error) {
	c = newConn(s, version)
	c.clean, c.isApart = cfg.CleanSession, apart
	c.link = link.New(nc, c, link.Options{
		Version: c.version, MaxPacketSize: cfg.MaxPacketSize, WriteTimeout: cfg.WriteTimeout,
		AckLimit: cfg.ackLimit(),
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
	d := link.Dialer{Header: s.cfg.Header, Timeout: s.cfg.ConnectTimeout, Proxy: s.cfg.Proxy}
	if s.cfg.TLS != nil {
		d.TLS = func() (*tls.Config, error) { return s.secured.ask(ctx, s.panicked, s.cfg.TLS) }
	}
	nc, err := d.Dial(ctx, addr)
	if err != nil {
		return nil, &event.Error{Op: opConnect, Reason: event.ReasonNetwork, Cause: err}
	}
	return nc, nil
}

func newControl(cfg *Config, c *conn) (ctl control) {
	ctl = &control311{cfg: cfg}
	if c.version == wire.V5 {
		ctl = &control5{cfg: cfg, onClose: c.dismissed}
	}
	if cfg.SharePrefix != "" {
		ctl = sharedControl{ctl, cfg.SharePrefix}
	}
	return ctl
}

// credentials are asked for anew for each connection.
func (s *Session) credentials(ctx context.Context, addr link.Address) (k credentials, err error) {
	if s.cfg.Credentials == nil {
		return credentials{addr.Username, string(addr.Password)}, nil
	}
	return s.login.ask(ctx, s.panicked, func() (k credentials, err error) {
		k.username, k.password, err = s.cfg.Credentials(ctx)
		return k, err
	})
}

func (s *Session) panicked(what string, v any, stack []byte) {
	s.cfg.Notify(CallbackPanicked{what, v, stack})
}

func connectError(err error) error {
	reason := event.ReasonNetwork
	if code, ok := errors.AsType[*CodeError](err); ok {
		reason = reasonOfConnack(code.Code)
	}
	return &event.Error{Op: opConnect, Reason: reason, Cause: err}
}

// hold subscribes and stays until the connection ends or the session closes.
func (s *Session) hold(c *conn, ctl control, addr link.Address) {
	s.state.set(func(st *Status) { st.Connected, st.Attempts, st.LastError = true, 0, nil })
	s.cfg.Notify(Connected{s.cfg.ClientID, addr.String(), c.connack.SessionPresent})
	s.subs.serve(s, c, ctl)
	if p := c.parting.Load(); p != nil {
		ctl.disconnect(p.code)
	} else if s.running.Err() != nil {
		ctl.disconnect(0) // behind everything that is queued
	}
	s.drop(c, ctl)
	s.state.set(func(st *Status) { st.Connected, st.Ready = false, false })
}

// drop ends the socket and every goroutine of the library.
func (s *Session) drop(c *conn, ctl control) {
	_ = c.link.Close()
	ctl.disconnect(0)
	<-c.closed
}

func (s *Session) down(err error, suspecting bool) {
	s.state.set(func(st *Status) { st.Attempts++; st.LastError, st.Convicting = err, suspecting })
}

// takenOver stops the fight over a client id: from here on one attempt after
// half to all of the maximum delay, until a connection holds. A fleet that takes
// something else for it must not come back at the same instant either.
func (s *Session) takenOver(l *event.LossError, err error) bool {
	half := s.cfg.MaxReconnectDelay / 2
	delay := half + rand.N(half+1)
	return s.pause(err, TakenOver{l, err, delay}, delay, false)
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
