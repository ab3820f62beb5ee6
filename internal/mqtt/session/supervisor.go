package session

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const opConnect = "connect"

// supervisor owns the connection of a session: one at a time, with a new client
// object for each, until the session is closed.
type supervisor struct {
	dialer

	route itinerary

	// The following determine the pause before the next attempt.
	hasty      int       // consecutive useful connections that ended soon
	failures   int       // consecutive attempts without a useful exchange
	outage     time.Time // start of the time without one, later by the time of connections that were not useful
	short      int       // consecutive connections that the broker closed in order soon after CONNACK
	suspicions int       // consecutive connections that ended with suspects
	refusals   int       // consecutive attempts whose login was refused
}

func newSupervisor(s *Session) *supervisor {
	v := &supervisor{dialer: dialer{s: s}, route: itinerary{addresses: s.cfg.Addresses}, outage: time.Now()}
	v.login.what, v.secured.what, v.asking.what = "credentials", "TLS", "authentication"
	return v
}

// run connects until the session is closed or ends by itself.
func (v *supervisor) run() {
	defer close(v.s.done)
	for v.s.running.Err() == nil {
		c, ctl, addr, err := v.connectAny()
		if err != nil {
			v.failures++
			v.short = 0 // the broker or the way to it is down, so no other client uses our id
			v.s.unrest.otherwise()
			if !v.failed(addr, err) {
				return
			}
			continue
		}
		v.hold(c, ctl, addr)
		if !v.lost(addr, c) {
			return
		}
	}
}

// connectAny makes one attempt, which tries each address once, in the order of
// the itinerary. The error is that of the whole list, and addr the last address
// that was tried.
func (v *supervisor) connectAny() (c *conn, ctl control, addr link.Address, err error) {
	var errs []error
	var tried link.Address
	for v.trying, addr = range v.route.attempt(int(v.s.cfg.Negotiation.address.Load())) {
		if len(errs) > 0 {
			v.s.cfg.Notify(ConnectFailed{v.s.cfg.ClientID, tried.String(), err, 0})
		}
		if c, ctl, err = v.connect(addr); err == nil {
			v.route.arrived(v.trying)
			return c, ctl, addr, nil
		}
		errs, tried = append(errs, err), addr
		if v.s.running.Err() != nil {
			break
		}
	}
	return nil, nil, addr, attemptError(errs)
}

// failed reports an attempt that reached no connection and waits for the next.
// It returns false if the session ends.
func (v *supervisor) failed(addr link.Address, err error) bool {
	failures, down := v.failures, time.Since(v.outage)
	if Final(err) {
		failures, down = slowly, v.s.cfg.MaxReconnectDelay
	}
	delay := v.backoff(failures, down)
	if f := v.s.cfg.Refused; f != nil && Final(err) && event.ReasonOf(err) == event.ReasonNotAuthorized {
		if v.refusals++; f(err, v.refusals) {
			delay = v.s.cfg.MinReconnectDelay
		}
	}
	last := err
	if list, ok := errors.AsType[*listError](err); ok {
		last = list.errs[len(list.errs)-1]
	}
	return v.pause(err, ConnectFailed{v.s.cfg.ClientID, addr.String(), last, delay}, delay, false)
}

// lost determines why a connection ended, reports it and waits for the next
// attempt. It returns false if the session ends.
func (v *supervisor) lost(addr link.Address, c *conn) bool {
	if v.s.running.Err() != nil {
		return false
	}
	if errors.Is(c.err, errRenewed) {
		return v.renewed(addr)
	}
	l := v.verdict(addr, c)
	v.account(c)
	v.route.left(c, l)
	err := lossError(l)
	if l.Kind == event.LossTakenOver {
		return v.takenOver(l, err)
	}
	delay := v.backoff(v.failures, time.Since(v.outage))
	suspecting := v.suspicions > 0
	if suspecting && v.suspicions <= manySuspicions {
		delay = v.suspicionPause(v.suspicions)
	}
	return v.pause(err, ConnectionLost{l, err, delay}, delay, suspecting)
}

// After many consecutive connections that were useful but ended soon the pauses
// grow, too, because granting something briefly costs a broker nothing. They
// are limited to a few seconds, because each connection carries something.
const (
	manyHasty     = 10
	hastyFailures = 4
)

// account makes pauses grow until a connection was useful: the broker granted,
// acknowledged or sent something on it, or it lasted, at least for as long as the
// client was away before. An idle client cannot see more than that of a broker
// that restarts several times within seconds.
func (v *supervisor) account(c *conn) {
	life := c.evidence.life
	away := time.Since(v.outage) - life
	switch {
	case life >= takeoverWindow:
		v.failures, v.hasty, v.outage = 0, 0, time.Now()
		return
	case c.useful.Load() && v.hasty >= manyHasty:
		v.failures = min(v.failures, hastyFailures)
	case c.useful.Load():
		v.hasty++
		v.failures, v.outage = 0, time.Now()
	case life >= max(away, 2*v.s.cfg.MinReconnectDelay):
		v.failures, v.outage = 0, time.Now()
	default:
		v.outage = v.outage.Add(life) // the time of a connection is not time without one
	}
	v.failures++
}

// verdict determines why a connection ended, and marks the messages and filters that
// may have caused it as suspects.
func (v *supervisor) verdict(addr link.Address, c *conn) *event.LossError {
	e := &c.evidence
	e.subscribing, e.short, e.cleared = v.s.subs.unanswered(), v.short, v.s.unrest.clearedInRow()
	loss := e.judge()
	loss.ClientID, loss.Address, loss.At = v.s.cfg.ClientID, addr.String(), time.Now()
	l := &loss
	if l.Contested || l.Kind == event.LossTakenOver {
		v.s.out.share()
	}
	v.s.state.set(func(st *Status) { st.LastLoss = l })
	if !e.isSoon() {
		v.s.unrest.otherwise()
	}
	if e.isShort() || l.Code == wire.ReasonSessionTakenOver {
		v.short++
	} else {
		v.short = 0
	}
	if l.Code == wire.ReasonSessionTakenOver {
		v.short = takeoverLosses
	}
	switch {
	case l.Kind == event.LossSubscribe:
		v.suspicions++
		if w := v.s.subs.accuse(l, e, &v.s.unrest); w != nil {
			v.short = 0
			v.s.subs.answered(v.s, w, 0, convicted(opSubscribe, w.Filter.Filter, l))
		}
	case (l.Kind == event.LossPublish || l.Kind == event.LossNetwork && l.Contested) && e.publishing.n > 0:
		v.suspicions++
		if v.s.out.accuse(l, e) {
			v.short = 0
			v.s.unrest.otherwise()
		}
		v.s.out.report()
	default:
		v.suspicions = 0
		if l.Code == 0 && l.Kind != event.LossLimits {
			v.s.unrest.cut(1)
		}
	}
	v.s.subs.await(nil)
	return l
}

// pause waits before the next attempt. While suspects are tried, WaitAttempt
// keeps waiting for the outcome of the first attempt.
func (v *supervisor) pause(err error, event Event, delay time.Duration, suspecting bool) bool {
	if v.s.running.Err() != nil {
		return false
	}
	v.down(err, suspecting)
	v.s.cfg.Notify(event)
	if v.s.cfg.NoReconnect {
		v.s.ended(err)
		v.s.out.close(err)
		return false
	}
	v.sleep(delay)
	return true
}

// hold subscribes and returns when the connection ends or the session closes.
func (v *supervisor) hold(c *conn, ctl control, addr link.Address) {
	v.refusals = 0
	if f := v.s.cfg.Accepted; f != nil {
		f()
	}
	v.s.state.set(func(st *Status) { st.Connected, st.Attempts, st.LastError = true, 0, nil })
	if v.renewal != v.s.renewals.Load() { // while the connection was being opened
		c.part(&parting{err: errRenewed})
	}
	v.s.cfg.Notify(Connected{v.s.cfg.ClientID, addr.String(), c.connack.SessionPresent})
	v.s.subs.serve(v.s, c, ctl)
	if p := c.parting.Load(); p != nil {
		ctl.disconnect(p.code)
	} else if v.s.running.Err() != nil {
		ctl.disconnect(0) // after everything that is queued
	}
	drop(c, ctl)
	v.s.state.set(func(st *Status) { st.Connected, st.Ready = false, false })
}

func (v *supervisor) down(err error, suspecting bool) {
	v.s.state.set(func(st *Status) { st.Attempts++; st.LastError, st.Convicting = err, suspecting })
}

// takenOver slows reconnecting when another client uses the client id: from
// then on it makes one attempt after half to all of the maximum delay, until a
// connection lasts. The delay is random, because a whole fleet may make this
// diagnosis by mistake and must not reconnect at the same instant.
func (v *supervisor) takenOver(l *event.LossError, err error) bool {
	half := v.s.cfg.MaxReconnectDelay / 2
	delay := half + rand.N(half+1)
	return v.pause(err, TakenOver{l, err, delay}, delay, false)
}

// slowly is the number of failures after which the delay has its maximum.
const slowly = 30

// backoff returns an exponential delay with full jitter, so that a fleet does
// not reconnect at the same instant. After the first pauses none is longer than
// the outage has lasted so far, so that a client does not stay disconnected for
// many times as long as the broker was down.
func (v *supervisor) backoff(failures int, down time.Duration) time.Duration {
	limit := v.s.cfg.MaxReconnectDelay
	if shift := min(failures, slowly); v.s.cfg.MinReconnectDelay < limit>>shift {
		limit = v.s.cfg.MinReconnectDelay << shift
	}
	return rand.N(min(limit, max(down, 2*v.s.cfg.MinReconnectDelay)) + 1)
}

func (v *supervisor) sleep(d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-v.s.hurry:
	case <-v.s.running.Done():
	}
}

// suspicionPause returns the pause before the n-th consecutive connection with
// suspects.
func (v *supervisor) suspicionPause(n int) time.Duration {
	limit := nextSuspicion
	if n <= 1 {
		limit = firstSuspicion
	}
	return rand.N(min(v.s.cfg.MinReconnectDelay, limit) + 1)
}
