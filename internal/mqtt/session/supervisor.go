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

	// The following determine the pause before the next attempt.
	next       int       // index of the address
	placed     bool      // there has been a connection
	useless    int       // consecutive useless connections
	brief      int       // consecutive connections that ended soon, useful or not
	hasty      int       // consecutive useful connections that ended soon
	failures   int       // consecutive attempts without a useful exchange
	outage     time.Time // start of the time without one
	short      int       // consecutive connections that the broker closed in order soon after CONNACK
	suspicions int       // consecutive connections that ended with suspects
}

func newSupervisor(s *Session) *supervisor {
	v := &supervisor{dialer: dialer{s: s}, outage: time.Now()}
	v.login.what, v.secured.what = "credentials", "TLS"
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
		v.placed = true
		v.hold(c, ctl, addr)
		if !v.lost(addr, c) {
			return
		}
	}
}

// connectAny makes one attempt, which tries each address once. It starts with
// the address that was connected last, because the session is there, or before
// the first connection with the one that is useful to other sessions. The error
// is that of the whole list, and addr the last address that was tried.
func (v *supervisor) connectAny() (c *conn, ctl control, addr link.Address, err error) {
	var errs []error
	if !v.placed {
		v.next = int(v.s.cfg.Negotiation.address.Load())
	}
	for i := range v.s.cfg.Addresses {
		v.trying = (v.next + i) % len(v.s.cfg.Addresses)
		addr = v.s.cfg.Addresses[v.trying]
		if c, ctl, err = v.connect(addr); err == nil {
			v.next = v.trying
			return c, ctl, addr, nil
		}
		errs = append(errs, err)
		if v.s.running.Err() != nil {
			break
		}
		if i < len(v.s.cfg.Addresses)-1 {
			v.s.cfg.Notify(ConnectFailed{v.s.cfg.ClientID, addr.String(), err, 0})
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
	l := v.verdict(addr, c)
	v.account(c)
	v.leave(c, l)
	err := lossError(l)
	if l.Cause == event.CauseTakenOver {
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
// acknowledged or sent something on it, or it lasted.
func (v *supervisor) account(c *conn) {
	switch {
	case c.evidence.life >= takeoverWindow:
		v.failures, v.hasty, v.outage = 0, 0, time.Now()
		return
	case !c.useful.Load():
	case v.hasty < manyHasty:
		v.hasty++
		v.failures, v.outage = 0, time.Now()
	default:
		v.failures = min(v.failures, hastyFailures)
	}
	v.failures++
}

// leave changes to the next address of the list if this one accepts connections
// that are useless. It does so after two in a row, because a single connection
// may be cut by chance, or immediately if the broker names another server, or
// does not accept or answer a filter, because another address may. An address
// whose connections never last is left in the end even if they are useful: it
// may grant nothing and send a message each time.
func (v *supervisor) leave(c *conn, l *event.LossError) {
	e := &c.evidence
	if v.brief++; e.life >= takeoverWindow {
		v.brief = 0
	}
	switch {
	case l.Cause == event.CauseMoved:
		v.next++
	case l.Cause == event.CauseLimits:
		v.next = c.parting.Load().next
	case l.Cause == event.CauseTakenOver: // it would happen at every address
	case c.useful.Load() || e.life >= takeoverWindow && !isTimeout(e.err):
		if v.useless = 0; v.brief >= mostBrief {
			v.next++
			v.brief = 0
		}
	default:
		if v.useless++; v.useless > 1 || l.Cause == event.CauseSubscribe || errors.Is(e.err, errNoSuback) {
			v.next++
		}
	}
}

// mostBrief is how many consecutive connections may end soon before another
// address is tried.
const mostBrief = 5

// verdict determines why a connection ended, and makes suspects of what may
// have ended it.
func (v *supervisor) verdict(addr link.Address, c *conn) *event.LossError {
	e := &c.evidence
	e.subscribing, e.short, e.cleared = v.s.subs.unanswered(), v.short, v.s.unrest.clearedInRow()
	loss := e.judge()
	loss.ClientID, loss.Address, loss.At = v.s.cfg.ClientID, addr.String(), time.Now()
	l := &loss
	if l.Contested || l.Cause == event.CauseTakenOver {
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
	case l.Cause == event.CauseSubscribe:
		v.suspicions++
		if w := v.s.subs.accuse(l, e, &v.s.unrest); w != nil {
			v.short = 0
			v.s.subs.answered(v.s, w, 0, convicted(opSubscribe, w.Filter.Filter, l))
		}
	case (l.Cause == event.CausePublish || l.Cause == event.CauseNetwork && l.Contested) && e.publishing.n > 0:
		v.suspicions++
		if v.s.out.accuse(l, e) {
			v.short = 0
			v.s.unrest.otherwise()
		}
		v.s.out.tell()
	default:
		v.suspicions = 0
		if l.Code == 0 && l.Cause != event.CauseLimits {
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
	v.s.state.set(func(st *Status) { st.Connected, st.Attempts, st.LastError = true, 0, nil })
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
