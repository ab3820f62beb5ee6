package client

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// subscriptions are the registrations of a client, which outlive Stop.
type subscriptions struct {
	cfg    *Config
	log    Logger
	store  deadletter.Store
	router *topic.Trie[*Subscription]

	mu    sync.Mutex                 // also of which run there is
	subs  map[*Subscription]func()   // registered, with what takes it out of the router
	same  map[string][]*Subscription // those, by filter
	known map[uint32]int             // how many of those have an identifier
	left  map[subscriptionName]bool  // taken back while stopped
	had   bool                       // a subscription, ever
}

func (t *subscriptions) init(cfg *Config, log Logger, store deadletter.Store) {
	t.cfg, t.log, t.store, t.router = cfg, log, store, topic.NewTrie[*Subscription](0)
	t.subs, t.same = make(map[*Subscription]func()), make(map[string][]*Subscription)
	t.known, t.left = make(map[uint32]int), make(map[subscriptionName]bool)
}

// Subscribes reports whether a subscription of the client matches a topic.
func (t *subscriptions) Subscribes(topic string) bool { return len(t.router.Match(topic)) > 0 }

// knows reports whether one of a message's subscription identifiers belongs to a
// subscription of ours.
func (t *subscriptions) knows(m *session.Inbound) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return m.ThroughAny(func(id uint32) bool { return t.known[id] > 0 })
}

func (t *subscriptions) mayRegister(s *Subscription) error {
	if t.subs[s] != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: errors.New("registered already")}
	}
	if err := t.sharesSession(s); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	if t.cfg.Preset.NoShared && s.shared() {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonUnsupported, Cause: fmt.Errorf(
			"%s delivers nothing on shared subscriptions (queue name, group)", t.cfg.Preset.Name)}
	}
	if err := t.oneGroup(s); err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: err}
	}
	if why := t.cannotPark(s); s.Exhausted == event.ExhaustedPark && why != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadRequest, Cause: why}
	}
	return nil
}

// oneGroup refuses a second group of a filter where the broker knows no groups.
func (t *subscriptions) oneGroup(s *Subscription) error {
	if t.cfg.SharePrefix != topic.GroupLess || !s.shared() {
		return nil
	}
	for other := range t.subs {
		if other.shared() && other.Filter != s.Filter && topic.Unshared(other.Filter) == topic.Unshared(s.Filter) {
			return fmt.Errorf("%s has no groups: all shared subscriptions of a filter are one, want one group for them", topic.GroupLess)
		}
	}
	return nil
}

// sharesSession reports whom a session is taken by that s would share unasked.
// The client's lock is held.
func (t *subscriptions) sharesSession(s *Subscription) error {
	if s.Session == "" {
		return nil
	}
	for other := range t.subs {
		if other.Session != s.Session || other.SessionOf == s.SessionOf {
			continue
		}
		return errors.New("session of its own: " + s.sessionUser() + " and " + other.sessionUser() +
			" both have the name " + s.Session + ": give one of them another, or both the same (session_name)")
	}
	return nil
}

// cannotPark returns the reason why a subscription's messages cannot be parked, or nil
// if they can.
func (t *subscriptions) cannotPark(s *Subscription) error {
	if err := parking.CannotPark(t.store, t.cfg.ClientID); err != nil {
		return err
	}
	if s.ManualAck {
		return errors.New("messages that are acknowledged by hand cannot be parked, as parking acknowledges them: want automatic acknowledgement, or another exhausted than park")
	}
	return nil
}

func (t *subscriptions) register(s *Subscription) error {
	if err := t.mayRegister(s); err != nil {
		return err
	}
	s.id, s.levels = session.FilterID(s.Filter), topic.GuardedLevels(s.Filter) // before a message can find it
	remove, err := t.router.Add(s.Filter, s)
	if err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadTopic, Cause: err}
	}
	if most := t.cfg.Preset.MaxQoS; most > 0 && s.QoS > most && !s.capped {
		s.capped = true
		t.log.Warnf("mqtt: filter %q wants QoS %d, %s grants at most %d: that is asked for", s.Filter, s.QoS, t.cfg.Preset.Name, most)
	}
	t.subs[s], t.had = remove, true
	t.known[s.id]++
	delete(t.left, subscriptionName{s.Session, s.Filter})
	t.same[s.Filter] = append(t.same[s.Filter], s)
	return nil
}

// takeOut reports whether s was registered. The lock is held.
func (t *subscriptions) takeOut(s *Subscription) bool {
	remove := t.subs[s]
	if remove == nil {
		return false
	}
	remove()
	delete(t.subs, s)
	id := s.id
	if t.known[id]--; t.known[id] == 0 {
		delete(t.known, id)
	}
	if left := slices.DeleteFunc(t.same[s.Filter], func(x *Subscription) bool { return x == s }); len(left) > 0 {
		t.same[s.Filter] = left
	} else {
		delete(t.same, s.Filter)
	}
	return true
}

// hadSubscriptions reports whether there ever was a registration.
func (t *subscriptions) hadSubscriptions() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.had
}

// late reports whether what is being registered after Start makes the filter one
// that comes after it: no other registration was there before.
func (t *subscriptions) late(s *Subscription) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, late := t.registered(s.Session, s.Filter)
	return late
}

// registered reports whether a filter is registered for a session, and whether all
// its registrations came after Start. The lock is held.
func (t *subscriptions) registered(name, filter string) (registered, late bool) {
	late = true
	for _, s := range t.same[filter] {
		if s.Session == name {
			registered, late = true, late && s.late
		}
	}
	return registered, late
}

// wants returns the filters that are registered for one of the sessions, and
// whether all their registrations came after Start.
func (t *subscriptions) wants(name string) map[string]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make(map[string]bool, len(t.same))
	for f := range t.same {
		if registered, late := t.registered(name, f); registered {
			all[f] = late
		}
	}
	return all
}

// wanted joins the registrations of one filter on one session into what is asked
// of the broker: the highest QoS, retained messages if any wants them, our own
// messages unless none does. The zero value means that nobody wants it.
func (t *subscriptions) wanted(name, filter string) (f session.Filter) {
	for _, s := range t.same[filter] {
		if s.Session != name {
			continue
		}
		if f.Filter == "" {
			f = session.Filter{Filter: filter, RetainHandling: s.retainHandling(), NoLocal: s.NoLocal}
		}
		f.QoS = max(f.QoS, s.QoS)
		f.RetainHandling = min(f.RetainHandling, s.retainHandling())
		f.NoLocal = f.NoLocal && s.NoLocal
	}
	if most := t.cfg.Preset.MaxQoS; most > 0 {
		f.QoS = min(f.QoS, most) // the broker grants no more
	}
	return f
}

// mixedGroups lists, once each, shared filters beside others of the same session
// that can match the same topics. The lock is held.
func (t *subscriptions) mixedGroups() (pairs [][2]string) {
	for s := range t.subs {
		if !s.shared() || s.mixed {
			continue
		}
		for other := range t.subs {
			if other.Filter != s.Filter && other.Session == s.Session && event.Overlap(topic.Unshared(other.Filter), topic.Unshared(s.Filter)) {
				s.mixed = true
				pairs = append(pairs, [2]string{other.Filter, s.Filter})
				break
			}
		}
	}
	return pairs
}
