package session

import (
	"context"
	"errors"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/topic"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

const (
	opSubscribe   = "subscribe"
	opUnsubscribe = "unsubscribe"
)

// subscriptions is what we want and what the broker granted.
type subscriptions struct {
	mu     sync.Mutex
	wanted map[string]*wanted
	order  []string // of first registration
	poke   chan struct{}
	had    bool // a session of ours existed at the broker before
}

type wanted struct {
	Filter
	granted bool
	removed bool          // to be unsubscribed
	settled chan struct{} // closed when the broker has answered
	err     error         // its refusal
}

func (t *subscriptions) init() {
	t.wanted = make(map[string]*wanted)
	t.poke = make(chan struct{}, 1)
}

// Want adds a filter that is subscribed to at the next opportunity. Before
// Start it only registers: the filter is part of the first SUBSCRIBE.
func (s *Session) Want(f Filter) error {
	if err := topic.ValidateFilter(f.Filter); err != nil {
		return &Error{Op: opSubscribe, Topic: shorten(f.Filter), Reason: ReasonBadTopic, Cause: err}
	}
	if f.QoS > 2 {
		return &Error{Op: opSubscribe, Topic: f.Filter, Reason: ReasonBadRequest, Cause: errors.New("QoS over 2")}
	}
	s.subs.add(f)
	return nil
}

// Subscribe wants a filter and waits, within ctx, until the broker has granted
// or refused it. A refused filter is not wanted any more.
func (s *Session) Subscribe(ctx context.Context, f Filter) error {
	if err := s.Want(f); err != nil {
		return err
	}
	w := s.subs.get(f.Filter)
	select {
	case <-w.settled:
		if w.err != nil {
			s.subs.forget(w)
			s.subs.signal() // the others may be all granted
		}
		return w.err
	case <-ctx.Done():
		return &Error{Op: opSubscribe, Topic: f.Filter, Reason: waitReason(s.Status().Connected, ctx.Err()), Cause: ctx.Err()}
	case <-s.running.Done():
		return &Error{Op: opSubscribe, Topic: f.Filter, Reason: ReasonClosed, Cause: errStopped}
	}
}

// Unsubscribe stops wanting a filter and waits, within ctx, for the UNSUBACK
// when connected.
func (s *Session) Unsubscribe(ctx context.Context, filter string) error {
	w := s.subs.remove(filter)
	if w == nil || !s.Status().Connected {
		return nil
	}
	select {
	case <-w.settled:
		return w.err
	case <-ctx.Done():
		return &Error{Op: opUnsubscribe, Topic: filter, Reason: gaveUp(ctx.Err()), Cause: ctx.Err()}
	case <-s.running.Done():
		return nil
	}
}

func (t *subscriptions) add(f Filter) {
	t.mu.Lock()
	if w := t.wanted[f.Filter]; w == nil || w.QoS != f.QoS || w.removed || w.err != nil {
		if w == nil {
			t.order = append(t.order, f.Filter)
		}
		t.wanted[f.Filter] = &wanted{Filter: f, settled: make(chan struct{})}
	}
	t.mu.Unlock()
	t.signal()
}

func (t *subscriptions) get(filter string) *wanted {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wanted[filter]
}

func (t *subscriptions) remove(filter string) *wanted {
	t.mu.Lock()
	defer t.signal()
	defer t.mu.Unlock()
	old := t.wanted[filter]
	if old == nil {
		return nil
	}
	w := &wanted{Filter: old.Filter, removed: true, settled: make(chan struct{})}
	t.wanted[filter] = w
	return w
}

func (t *subscriptions) signal() {
	select {
	case t.poke <- struct{}{}:
	default:
	}
}

// attach forgets grants that went with the session and gives refused filters
// another chance. It says whether a session of ours had existed.
func (t *subscriptions) attach(present bool) (had bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range t.wanted {
		w.granted = w.granted && present
		if w.err != nil {
			w.err, w.settled = nil, make(chan struct{})
		}
	}
	had, t.had = t.had, true
	return had
}

// missing lists what the broker does not have yet, and what it has in vain.
func (t *subscriptions) missing() (add []*wanted, drop []*wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range t.order {
		switch w := t.wanted[name]; {
		case w.removed:
			drop = append(drop, w)
		case !w.granted && w.err == nil:
			add = append(add, w)
		}
	}
	return add, drop
}

// serve brings the broker's view in line with ours, again whenever ours
// changes, until the connection ends or the session closes.
func (t *subscriptions) serve(s *Session, c *conn, ctl control) {
	for {
		if !t.settle(c.alive, s, c, ctl) {
			return
		}
		select {
		case <-t.poke:
		case <-c.alive.Done():
			return
		}
	}
}

// maxFilters bounds one SUBSCRIBE packet.
const maxFilters = 100

// settle sends one round of UNSUBSCRIBE and SUBSCRIBE. It returns false when
// the connection is no use any more.
func (t *subscriptions) settle(ctx context.Context, s *Session, c *conn, ctl control) bool {
	add, drop := t.missing()
	for _, w := range drop {
		if err := ctl.unsubscribe(ctx, []string{w.Filter.Filter}); err != nil {
			return false
		}
		t.forget(w)
	}
	for len(add) > 0 {
		n := min(len(add), maxFilters)
		if !t.subscribe(ctx, s, c, ctl, add[:n]) {
			return false
		}
		add = add[n:]
	}
	t.report(s)
	return true
}

func (t *subscriptions) subscribe(ctx context.Context, s *Session, c *conn, ctl control, add []*wanted) bool {
	filters := make([]Filter, len(add))
	for i, w := range add {
		filters[i] = w.Filter
		if c.version == wire.V5 && c.connack.SubIDAvailable {
			filters[i].ID = FilterID(w.Filter.Filter)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ConnectTimeout)
	defer cancel()
	codes, err := ctl.subscribe(ctx, filters)
	if err != nil {
		_ = c.link.Close() // no SUBACK: start over on a new connection
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, w := range add {
		if codes[i] >= codeFailed {
			w.err = &Error{Op: opSubscribe, Topic: w.Filter.Filter, Reason: reasonOfSuback(c.version, codes[i]), Cause: &CodeError{
				Packet: "SUBACK", Code: codes[i], Name: wire.ReasonName(wire.TypeSuback, c.version, codes[i]),
			}}
			s.cfg.Notify(SubscriptionRefused{w.Filter.Filter, w.err})
		} else {
			w.granted = true
		}
		w.settle()
	}
	return true
}

// reasonOfSuback: MQTT 3.1.1 knows one failure code, which most often means
// access rules.
func reasonOfSuback(v wire.Version, code byte) Reason {
	if v == wire.V311 {
		return ReasonRefused
	}
	return reasonOfCode(code)
}

func (w *wanted) settle() {
	select {
	case <-w.settled:
	default:
		close(w.settled)
	}
}

func (t *subscriptions) forget(w *wanted) {
	t.mu.Lock()
	defer t.mu.Unlock()
	w.settle()
	if t.wanted[w.Filter.Filter] != w {
		return // wanted again meanwhile
	}
	delete(t.wanted, w.Filter.Filter)
	for i, name := range t.order {
		if name == w.Filter.Filter {
			t.order = append(t.order[:i], t.order[i+1:]...)
			return
		}
	}
}

// report makes the session ready, or says which filters are refused.
func (t *subscriptions) report(s *Session) {
	t.mu.Lock()
	var refused []error
	for _, name := range t.order {
		if w := t.wanted[name]; w.err != nil {
			refused = append(refused, w.err)
		}
	}
	n := len(t.order)
	t.mu.Unlock()
	err := errors.Join(refused...)
	was := s.Status().Ready
	s.state.set(func(st *Status) { st.Ready, st.LastError = err == nil, err })
	if err == nil && !was && n > 0 {
		s.cfg.Notify(Subscribed{n})
	}
}
