package session

import (
	"context"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Status is a snapshot of a session.
type Status struct {
	// Connected is set between CONNACK and the end of the connection.
	Connected bool
	// Ready is set while connected with every wanted filter granted.
	Ready bool
	// Ended is set when the session will not connect again by itself.
	Ended bool
	// Attempts counts tries to connect that failed in a row.
	Attempts int
	// Convicting is set while it is being found out which message or filter ends
	// the connections.
	Convicting bool
	// LastError is why it is not connected or not ready; nil when it is.
	LastError error
	// LastLoss is the last connection that was lost, nil when none was.
	LastLoss *event.LossError
}

// state is the status and the signal that it changed.
type state struct {
	mu      sync.Mutex
	now     Status
	changed chan struct{} // closed and replaced at each change
}

func (s *state) init() { s.changed = make(chan struct{}) }

func (s *state) get() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *state) set(change func(*Status)) {
	s.mu.Lock()
	change(&s.now)
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
}

// wait returns when the condition holds, or with ctx's error.
func (s *state) wait(ctx context.Context, holds func(Status) bool) (Status, error) {
	for {
		s.mu.Lock()
		now, changed := s.now, s.changed
		s.mu.Unlock()
		if holds(now) {
			return now, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return now, ctx.Err()
		}
	}
}

// ClientID is that of the settings.
func (s *Session) ClientID() string { return s.cfg.ClientID }

// Started reports whether Start, or Close, was called.
func (s *Session) Started() bool { return s.started.Load() }

// Status is a snapshot.
func (s *Session) Status() Status { return s.state.get() }

// WaitReady returns nil once the session is connected with every wanted
// filter granted, and otherwise the reason when ctx ends or the session will
// not connect again.
func (s *Session) WaitReady(ctx context.Context) error {
	return s.await(ctx, func(st Status) bool { return st.Ready || st.Ended })
}

// WaitAttempt returns nil when the session is ready, or what went wrong with
// the first attempt: all addresses, or a filter that was refused.
func (s *Session) WaitAttempt(ctx context.Context) error {
	return s.await(ctx, func(st Status) bool { return st.Ready || st.Ended || (st.LastError != nil && !st.Convicting) })
}

func (s *Session) await(ctx context.Context, over func(Status) bool) error {
	now, err := s.state.wait(ctx, over)
	switch {
	case err == nil && now.Ready:
		return nil
	case now.LastError != nil:
		err = now.LastError
	}
	if event.ReasonOf(err) != "" {
		return err
	}
	return &event.Error{Op: opConnect, Reason: event.ReasonNotConnected, Cause: err}
}

// ended says that the session will not connect again by itself.
func (s *Session) ended(err error) {
	s.state.set(func(st *Status) { st.Ended, st.LastError = true, err })
}

// Filters counts the filters that are wanted, those of them that are granted, and
// of these those at a lower QoS than was asked for.
func (s *Session) Filters() (wanted, granted, lower int) {
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	for _, w := range s.subs.wanted {
		if w.removed {
			continue
		}
		if wanted++; w.granted {
			granted++
			if w.level < w.QoS {
				lower++
			}
		}
	}
	return wanted, granted, lower
}

// InFlight counts our QoS 1 and 2 messages that wait for an acknowledgement.
func (s *Session) InFlight() int {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.win.used
}

// WaitConnected returns nil once there is a connection; the filters that a lost
// session took along are then asked for again. Without one it returns at once why
// the last attempt failed when that is hopeless.
func (s *Session) WaitConnected(ctx context.Context, hopeless func(error) bool) error {
	now, err := s.state.wait(ctx, func(st Status) bool {
		return st.Connected || st.Ended || st.LastError != nil && hopeless(st.LastError)
	})
	switch {
	case now.Connected:
		return nil
	case err != nil:
		return &event.Error{Op: opConnect, Reason: event.ReasonNotConnected, Cause: s.downCause(false, err)}
	case now.Ended:
		return s.overError(opConnect, "")
	}
	return now.LastError
}

// Beyond counts the messages that the broker sent beyond our Receive Maximum, MQTT 5.
func (s *Session) Beyond() int64 { return s.in.beyond.Load() }

// BackPressure returns for how long messages have found no room again and
// again, 0 when they do or there is no connection.
func (s *Session) BackPressure() time.Duration {
	s.out.mu.Lock()
	c := s.out.cur
	s.out.mu.Unlock()
	if c == nil {
		return 0
	}
	return c.link.Jam()
}
