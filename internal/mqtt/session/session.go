// Package session implements one MQTT client identity: it keeps a connection to
// a broker, owns every application message on it, and survives its loss.
//
// The client library handles CONNECT, authentication, SUBSCRIBE, PING and
// DISCONNECT. PUBLISH, PUBACK, PUBREC, PUBREL and PUBCOMP never reach it: the
// link passes them to this package, which alone decides when a message is sent,
// sent again, acknowledged or failed.
package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Session is one client identity. All methods are safe for concurrent use.
type Session struct {
	cfg     Config
	out     outbound
	in      inbound
	calls   calls
	timers  sync.Pool
	async   callbacks // of messages with Done
	relayed callbacks // of those that are kept
	state   state
	subs    subscriptions
	unrest  unrest

	stop    context.CancelCauseFunc
	running context.Context
	done    chan struct{} // closed when the supervisor has ended
	started atomic.Bool
	// renewals counts the calls of Renew.
	renewals atomic.Int64
	hurry    chan struct{} // ends the pause before the next attempt; has room for one
	closing  sync.Once
	conns    atomic.Uint32 // number of connections that were begun

	certificates atomic.Pointer[link.Ends] // of the last TLS handshake

	reduced uint32 // the last reported session expiry in seconds, plus 1; used by the read loop
}

// errStopped is the cause of every error that results from Close.
var errStopped = errors.New("client stopped")

// New validates the configuration, reporting all problems at once. It does not
// connect.
func New(cfg Config) (*Session, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, &event.Error{Op: opConnect, Reason: event.ReasonBadRequest, Cause: err}
	}
	s := &Session{cfg: cfg, done: make(chan struct{}), hurry: make(chan struct{}, 1)}
	s.in.cfg, s.in.limits = &s.cfg, cfg.bodyLimits()
	s.in.bounded, _ = cfg.Sink.(Bounded)
	s.out.win, s.out.onUnrouted = newWindow(cfg.Window), cfg.Unrouted
	s.out.ignoreUnrouted = cfg.IgnoreUnrouted
	s.out.unrest = &s.unrest
	s.unrest.rash = cfg.Rash
	for _, c := range []*callbacks{&s.async, &s.relayed} {
		c.onRun = func(n int) { s.out.called(c, n) }
		c.chunk = max(1, cfg.Window/8)
		c.onPanic = func(v any, stack []byte) { s.panicked("publish", v, stack) }
	}
	s.relayed.kept = true
	s.state.init()
	s.subs.init()
	s.running, s.stop = context.WithCancelCause(context.Background())
	return s, nil
}

// Start starts to connect and returns immediately; further calls do nothing.
// Use [Session.WaitReady] or events to see the outcome.
func (s *Session) Start() {
	if s.started.CompareAndSwap(false, true) {
		go newSupervisor(s).run()
	}
}

// Publish sends m and returns nil only after the broker has acknowledged it
// (QoS 1 and 2) or the bytes were passed to a live connection (QoS 0). While
// disconnected it waits for the connection. If ctx has no deadline the
// configured timeout applies. An [event.Error] with MayHaveBeenSent set means
// that the outcome is unknown.
//
// With [Message.Done] it waits only for a connection and for room in the
// in-flight window. After it returns nil, neither ctx nor a timeout ends the
// exchange: the outcome may take as long as an outage.
func (s *Session) Publish(ctx context.Context, m *Message) error {
	if err := s.checkMessage(ctx, m); err != nil {
		return err
	}
	wait := limit{after: s.cfg.PublishLimit(), timers: &s.timers}
	defer wait.stop()
	if m.Done != nil {
		calls := &s.async
		if m.Kept {
			calls = &s.relayed
		}
		done := calls.get(m.Done, m.Topic)
		out, err := s.send(ctx, m, need{qos: m.QoS, calls: calls}, done, &wait)
		if err != nil {
			return err
		}
		if m.QoS == 0 {
			done.complete(nil)
		}
		out.conn.link.Wake()
		return nil
	}
	c := s.calls.get()
	out, err := s.send(ctx, m, need{qos: m.QoS}, c, &wait)
	if err != nil {
		s.calls.put(c)
		return err
	}
	// If nothing else is in flight the caller's goroutine writes the message, which adds no
	// latency; the socket then has room, so that a dead network cannot block the caller for
	// longer than its context. Otherwise the connection's flusher writes many frames at once.
	if out.alone {
		out.conn.link.Flush()
	} else {
		out.conn.link.Wake()
	}
	if m.QoS == 0 {
		s.calls.put(c)
		return nil
	}
	ok, err := c.wait(ctx, wait.reached(ctx))
	if !ok {
		unsent, over := s.out.abandon(out.slot, c)
		if !over {
			err = cmp.Or(ctx.Err(), context.DeadlineExceeded)
			return &event.Error{Op: opPublish, Topic: m.Topic, Reason: gaveUp(err), MayHaveBeenSent: !unsent, Cause: err}
		}
		err = <-c.done // both at the same instant: the outcome is more useful
	}
	s.calls.put(c)
	return onTopic(err, m.Topic)
}

func (s *Session) checkMessage(ctx context.Context, m *Message) error {
	switch {
	case ctx == nil:
		return &event.Error{Op: opPublish, Reason: event.ReasonBadRequest, Cause: errors.New("context is nil")}
	case m == nil:
		return &event.Error{Op: opPublish, Reason: event.ReasonBadRequest, Cause: errors.New("message is nil")}
	case m.QoS > 2:
		return &event.Error{Op: opPublish, Topic: m.Topic, Reason: event.ReasonBadRequest, Cause: fmt.Errorf("QoS %d", m.QoS)}
	}
	if err := topic.ValidateName(m.Topic); err != nil {
		return &event.Error{Op: opPublish, Topic: logsafe.Clip(m.Topic), Reason: event.ReasonBadTopic, Cause: err}
	}
	if err := ctx.Err(); err != nil {
		return &event.Error{Op: opPublish, Topic: m.Topic, Reason: gaveUp(err), Cause: err}
	}
	return nil
}

func onTopic(err error, name string) error {
	if err == nil {
		return nil
	}
	var e *event.Error
	if errors.As(err, &e) && e.Topic == "" {
		e.Topic = name
	}
	return err
}

func gaveUp(err error) event.Reason {
	if errors.Is(err, context.DeadlineExceeded) {
		return event.ReasonTimeout
	}
	return event.ReasonCanceled
}

// waitReason distinguishes an outage from a broker that acknowledges slowly.
func waitReason(connected bool, err error) event.Reason {
	if connected || errors.Is(err, context.Canceled) {
		return gaveUp(err)
	}
	return event.ReasonNotConnected
}

// downCause adds the reason of the missing connection to the error of a caller
// that waited for one.
func (s *Session) downCause(connected bool, err error) error {
	if last := s.state.get().LastError; !connected && last != nil {
		return fmt.Errorf("%w: %w", err, last)
	}
	return err
}

// attach is called on the read loop when a CONNACK accepts the connection.
func (s *Session) attach(c *conn) {
	s.in.jam.set(false) // the last frame of the previous connection may have been handled after its end
	s.cfg.Notify(Attached{ClientID: s.cfg.ClientID, SessionPresent: c.connack.SessionPresent})
	if !c.connack.SessionPresent {
		s.in.sessionLost()
	}
	lost := s.out.attach(c)
	if s.subs.attach(c.connack.SessionPresent, c.at) && !c.connack.SessionPresent && !s.cfg.CleanSession {
		s.cfg.Notify(Forgotten{ClientID: s.cfg.ClientID, Unfinished: lost})
	}
	s.noteExpiry(c)
	s.out.report()
}

// noteExpiry reports, once for each value, a broker that keeps the session for
// a shorter time than requested.
func (s *Session) noteExpiry(c *conn) {
	a := &c.connack
	if s.cfg.CleanSession || !a.HasSessionExpiry || a.SessionExpiry >= wholeSeconds(s.cfg.SessionExpiry) || s.reduced == a.SessionExpiry+1 {
		return
	}
	s.reduced = a.SessionExpiry + 1
	s.cfg.Notify(ExpiryReduced{s.cfg.ClientID, s.cfg.SessionExpiry, time.Duration(a.SessionExpiry) * time.Second})
}

// StopIntake leaves every message that arrives from now on unacknowledged, so
// that the broker keeps it for the next connection of a persistent session.
// Reading resumes if it was waiting for room.
func (s *Session) StopIntake() {
	s.in.closed.Store(true)
	s.out.mu.Lock()
	c := s.out.cur
	s.out.mu.Unlock()
	if c != nil {
		c.link.Resume()
	}
}

// Close ends the session. It waits within ctx for publishes in flight as long
// as there is a connection, sends DISCONNECT, and returns when no goroutine is
// left except callbacks that outlast ctx. Unfinished publishes fail with
// MayHaveBeenSent and are counted in the [Closed] event. A second call waits
// for the first.
func (s *Session) Close(ctx context.Context) {
	s.closing.Do(func() {
		s.StopIntake()
		s.out.refuse(errStopped)
		s.out.drain(ctx)
		s.stop(errStopped)
		if s.started.CompareAndSwap(false, true) {
			close(s.done) // never started
		}
		<-s.done
		s.out.close(errStopped)
		s.async.wait(ctx)
		s.relayed.wait(ctx)
		s.ended(&event.Error{Op: opConnect, Reason: event.ReasonClosed, Cause: errStopped})
		s.cfg.Notify(Closed{ClientID: s.cfg.ClientID, Unfinished: s.out.cutOff(), Unacknowledged: s.in.count()})
	})
}

// Renew leaves the present connection in an orderly way and connects anew, so
// that changed credentials and TLS settings are used. Messages in flight are
// finished on the next connection. While there is no connection it ends the pause
// before the next attempt. It does nothing for a session that does not reconnect.
// It never waits.
func (s *Session) Renew() {
	if s.cfg.NoReconnect {
		return
	}
	s.renewals.Add(1)
	s.out.mu.Lock()
	c := s.out.cur
	s.out.mu.Unlock()
	if c != nil {
		c.part(&parting{err: errRenewed})
		return
	}
	s.Hurry()
}

// Hurry ends the pause before the next attempt to connect, or lets none follow the
// present attempt. It never waits.
func (s *Session) Hurry() {
	select {
	case s.hurry <- struct{}{}:
	default:
	}
}

// IsKept reports whether the broker keeps the session between connections.
func (s *Session) IsKept() bool { return !s.cfg.CleanSession }

func (s *Session) panicked(what string, v any, stack []byte) {
	s.cfg.Notify(CallbackPanicked{what, v, stack})
}

// send sends m. For QoS 0 it returns when the bytes were passed to a live
// connection. Otherwise done receives the outcome, unless send returns an
// error. A caller that gives up later must abandon the slot.
func (s *Session) send(ctx context.Context, m *Message, n need, done completion, limit *limit) (sent, error) {
	o := &s.out
	o.mu.Lock()
	defer o.mu.Unlock()
	var w *waiter
	for {
		out, ok, err := o.try(m, n, done, w)
		if ok || err != nil {
			o.leave(w)
			return out, err
		}
		if w == nil {
			w = o.enter(n)
			o.watch()
		}
		w.woken = false
		connected := o.cur != nil
		o.mu.Unlock()
		err = w.block(ctx, limit.reached(ctx))
		o.mu.Lock()
		if err != nil {
			o.leave(w)
			return sent{}, o.fail(m, waitReason(connected, err), s.downCause(connected, err))
		}
	}
}
