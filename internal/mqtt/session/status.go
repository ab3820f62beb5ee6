package session

import (
	"context"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
)

// Status is a snapshot of a session.
type Status struct {
	// Connected is set between CONNACK and the end of the connection.
	Connected bool
	// Ready is set while connected with every wanted filter granted.
	Ready bool
	// Ended is set when the session does not reconnect any more.
	Ended bool
	// Attempts is the number of consecutive failed attempts to connect.
	Attempts int
	// Convicting is set while the session determines which message or filter
	// makes the broker end connections.
	Convicting bool
	// LastError is the reason for not being connected or ready, or nil.
	LastError error
	// LastLoss describes the last lost connection, or is nil.
	LastLoss *event.LossError
}

// state is the status and a signal for changes.
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

// wait returns when the condition holds, or returns the error of ctx.
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

// ClientID returns the configured client id.
func (s *Session) ClientID() string { return s.cfg.ClientID }

// Started reports whether Start or Close was called.
func (s *Session) Started() bool { return s.started.Load() }

// Status returns a snapshot of the session.
func (s *Session) Status() Status { return s.state.get() }

// WaitReady returns nil when the session is connected and every wanted filter is
// granted. If ctx ends first, or the session does not reconnect any more, it returns
// the reason why the session is not ready.
func (s *Session) WaitReady(ctx context.Context) error {
	return s.await(ctx, func(st Status) bool { return st.Ready || st.Ended })
}

// WaitAttempt returns nil when the session is ready, or the error of the first
// attempt: that of all addresses, or that of a refused filter.
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

// ended records that the session does not reconnect any more.
func (s *Session) ended(err error) {
	s.state.set(func(st *Status) { st.Ended, st.LastError = true, err })
}

// Filters returns the number of wanted filters, how many of them are granted,
// and how many of those at a lower QoS than requested.
func (s *Session) Filters() (wanted, granted, lower int) {
	s.subs.mu.Lock()
	defer s.subs.mu.Unlock()
	n := s.subs.tally()
	return n.wanted, n.granted, len(n.less)
}

// FilterList returns the wanted filters with what the broker granted.
func (s *Session) FilterList() []event.FilterHealth { return s.subs.list() }

// InFlight returns the number of our QoS 1 and 2 messages that wait for an
// acknowledgement.
func (s *Session) InFlight() int {
	s.out.mu.Lock()
	defer s.out.mu.Unlock()
	return s.out.win.used
}

// WaitConnected returns nil when there is a connection. Filters of a lost
// session have then been registered to be requested again. Without a connection
// it immediately returns the error of the last attempt if hopeless reports true
// for it.
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

// Certificates returns when the certificates of the last TLS connection expire.
func (s *Session) Certificates() (ends link.Ends) {
	if e := s.certificates.Load(); e != nil {
		ends = *e
	}
	return ends
}

// Beyond returns the number of messages that the broker sent beyond our Receive
// Maximum (MQTT 5).
func (s *Session) Beyond() int64 { return s.in.beyond.Load() }

// BackPressure returns how long messages have repeatedly found no room. It returns 0 if
// messages find room or there is no connection.
func (s *Session) BackPressure() time.Duration {
	s.out.mu.Lock()
	c := s.out.cur
	s.out.mu.Unlock()
	if c == nil {
		return 0
	}
	return c.link.Jam()
}
