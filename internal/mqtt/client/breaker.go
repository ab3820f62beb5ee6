package client

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// breaker pauses the subscriptions of one operation together, and one without an operation by
// itself.
type breaker struct {
	*delivery.Breaker
	name string
	of   *breakers

	phase delivery.Phase // as it changed last; guarded by the mutex of the Breaker

	// Used by the goroutine of the events only.
	since  time.Time // when it was stopped last
	paused bool

	subs []*Subscription // guarded by the mutex of the breakers
}

// breakers are those of a run.
type breakers struct {
	run *run

	mu  sync.Mutex
	all []*breaker // in the order of registration
}

// join returns the breaker of a subscription. The client's lock is held.
func (t *breakers) join(s *Subscription) (*breaker, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.prune()
	if op := s.operation(); op != "" {
		for _, b := range t.all {
			if b.name == op && len(b.subs) > 0 && b.subs[0].operation() == op {
				b.subs = append(b.subs, s)
				return b, nil
			}
		}
	}
	b := &breaker{name: s.name(), of: t, subs: []*Subscription{s}}
	o := breakerOptions(s)
	o.Changed = b.changed
	var err error
	if b.Breaker, err = delivery.NewBreaker(o); err != nil {
		return nil, err
	}
	if _, paused := t.run.client.lasting.paused.note(s.names()); paused {
		b.Pause()
	}
	t.all = append(t.all, b)
	return b, nil
}

func breakerOptions(s *Subscription) (o delivery.BreakerOptions) {
	if s.Breaker != nil {
		own := withDefaults(*s.Breaker)
		o.Failures, o.Window, o.Pause = own.Failures, own.Window, own.Pause
	}
	return o
}

// retune applies a changed configuration of a subscription. Of an operation with several
// the first one counts, as when they join.
func (t *breakers) retune(s *Subscription) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := s.breaker
	if len(b.subs) == 0 || b.subs[0] != s {
		return nil
	}
	return b.Retune(breakerOptions(s))
}

// leave takes out a subscription that was taken back. What it still has to handle is paused
// and resumed by its name as before.
func (t *breakers) leave(s *Subscription) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if b := s.breaker; b != nil {
		b.subs = slices.DeleteFunc(b.subs, func(x *Subscription) bool { return x == s })
	}
	t.prune()
}

// prune forgets breakers that have nothing to do any more. The mutex is held.
func (t *breakers) prune() {
	t.all = slices.DeleteFunc(t.all, func(b *breaker) bool {
		gone := len(b.subs) == 0 && b.Waiting() == 0
		if gone {
			b.Freeze()
		}
		return gone
	})
}

func (t *breakers) list() []*breaker {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.all)
}

// named returns the breakers of the subscriptions with a name.
func (t *breakers) named(name string) (list []*breaker) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.all {
		if b.name == name || slices.ContainsFunc(b.subs, func(s *Subscription) bool { return slices.Contains(s.names(), name) }) {
			list = append(list, b)
		}
	}
	return list
}

// freeze ends trials, for a stop.
func (t *breakers) freeze() {
	for _, b := range t.list() {
		b.Freeze()
	}
}

// excuse returns the error of a drain, unless only paused subscriptions left messages: those
// stay at the broker, as they would without the stop.
func (t *breakers) excuse(drained error) error {
	d, ok := errors.AsType[*delivery.DrainError](drained)
	if !ok || d.Running > 0 {
		return drained
	}
	waiting := 0
	for _, b := range t.list() {
		if !b.Status().Passing() {
			waiting += b.Waiting()
		}
	}
	if d.Dropped > waiting {
		return drained
	}
	return nil
}

// changed is called with the mutex of the Breaker.
func (b *breaker) changed(st delivery.BreakerStatus) {
	r := b.of.run
	if st.Phase == delivery.Open && b.phase == delivery.Closed {
		r.client.counts.breakersOpened.Add(1)
	}
	b.phase = st.Phase
	r.events.do(func() {
		info := b.describe(st)
		b.log(st, &info)
		callHook(r.events.calls, r.client.cfg.Hooks.Paused, info)
	})
}

// log writes one line for each change, except for the attempts of an open breaker.
func (b *breaker) log(st delivery.BreakerStatus, p *event.SubscriptionPause) {
	log := b.of.run.client.log
	fields := []any{logsafe.KeyOperation, b.name}
	if len(p.AlsoWaiting) > 0 { // without a session of its own, once the window of the session is full
		fields = append(fields, logsafe.KeyAlsoWaiting, strings.Join(p.AlsoWaiting, ","))
	}
	stopped := !b.since.IsZero()
	switch {
	case st.Paused:
		log.Info("mqtt: subscription is paused by hand, its messages wait", append(fields, noted(p)...)...)
	case st.Passing():
		log.Info("mqtt: subscription handles messages again", append(fields, logsafe.KeyAttempts, p.Failures, logsafe.KeyDuration, time.Since(b.since))...)
	case !stopped:
		log.Warn("mqtt: the breaker of a subscription is open, its messages wait",
			append(fields, logsafe.KeyAttempts, p.Failures, logsafe.KeyRetryIn, time.Until(p.NextTrial), logsafe.KeyError, st.Err)...)
	case b.paused:
		log.Info("mqtt: subscription is not paused by hand any more", append(fields, logsafe.KeyState, p.State)...)
	default:
		log.Debug("mqtt: the breaker of a subscription has changed", append(fields, logsafe.KeyState, p.State, logsafe.KeyAttempts, p.Failures)...)
	}
	if b.paused = st.Paused; st.Passing() {
		b.since = time.Time{}
	} else if !stopped {
		b.since = time.Now()
	}
}

// describe returns what hooks and Health get to know.
func (b *breaker) describe(st delivery.BreakerStatus) event.SubscriptionPause {
	p := event.SubscriptionPause{
		Name: b.name, State: event.BreakerClosed, Since: st.Since, Failures: st.Failures, OpensAt: st.OpensAt, NextTrial: st.NextTrial,
	}
	p.Waiting, p.AlsoWaiting = b.of.waiting(b)
	switch {
	case st.Paused:
		note := b.of.note(b)
		p.State, p.By, p.Why = event.PausedByHand, note.By, note.Why
	case st.Phase == delivery.Open:
		p.State = event.BreakerOpen
	case st.Phase == delivery.HalfOpen:
		p.State = event.BreakerHalfOpen
	}
	if st.Err != nil {
		p.LastError = logsafe.Text(st.Err.Error())
	}
	return p
}

// noted returns the fields with the person and the reason of a pause by hand.
func noted(p *event.SubscriptionPause) (fields []any) {
	if p.By != "" {
		fields = append(fields, logsafe.KeyBy, p.By)
	}
	if p.Why != "" {
		fields = append(fields, logsafe.KeyWhy, p.Why)
	}
	return fields
}

// note returns the note of a pause by hand.
func (t *breakers) note(b *breaker) event.PauseNote {
	t.mu.Lock()
	names := []string{b.name}
	for _, s := range b.subs {
		names = append(names, s.names()...)
	}
	t.mu.Unlock()
	note, _ := t.run.client.lasting.paused.note(names)
	return note
}

// waiting returns how many messages wait for a breaker, and the names of the subscriptions
// that share a session with its own.
func (t *breakers) waiting(b *breaker) (n int, names []string) {
	n, c := b.Waiting(), t.run.client
	c.mu.Lock()
	defer c.mu.Unlock()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, own := range b.subs {
		if own.batch != nil {
			n += own.batch.count()
		}
		for s := range c.subs {
			if s.Session == own.Session && s.breaker != b {
				names = append(names, s.name())
			}
		}
	}
	slices.Sort(names)
	return n, slices.Compact(names)
}

// pauses returns the subscriptions that do not handle messages, by name, or all of them.
func (t *breakers) pauses(all bool) (list []event.SubscriptionPause) {
	for _, b := range t.list() {
		if st := b.Status(); all || !st.Passing() {
			list = append(list, b.describe(st))
		}
	}
	sortByName(list)
	return list
}

func sortByName(list []event.SubscriptionPause) {
	slices.SortStableFunc(list, func(a, b event.SubscriptionPause) int { return cmp.Compare(a.Name, b.Name) })
}

// tellShared logs once for each session that the breaker of one of its subscriptions stops
// the others.
func (t *breakers) tellShared() {
	shared := make(map[*subscriber][]string)
	breaks := make(map[*subscriber]bool)
	t.run.client.mu.Lock()
	t.mu.Lock()
	for _, b := range t.all {
		for _, s := range b.subs {
			breaks[s.at] = breaks[s.at] || s.Breaker != nil && s.Breaker.Failures > 0
			if names := shared[s.at]; !slices.Contains(names, b.name) {
				shared[s.at] = append(names, b.name)
			}
		}
	}
	t.mu.Unlock()
	t.run.client.mu.Unlock()
	for at, names := range shared {
		if breaks[at] && len(names) > 1 {
			slices.Sort(names)
			t.run.client.log.Info("mqtt: subscriptions share a session: while the breaker of one is open, the others wait, too, once the window of the session is full, except with session: own",
				logsafe.KeyClientID, at.id, logsafe.KeyNames, strings.Join(names, ","))
		}
	}
}
