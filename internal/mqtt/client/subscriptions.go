package client

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// subscriptions has the registrations of a client, which outlive Stop.
type subscriptions struct {
	cfg    *Config
	log    logsafe.Log
	store  deadletter.Store
	router *topic.Trie[*Subscription]

	mu                  sync.Mutex                 // also guards which run exists
	subs                map[*Subscription]func()   // registered, with the function that removes it from the router
	same                map[string][]*Subscription // registered, by filter
	known               map[uint32]int             // number of subscriptions with an identifier
	removedWhileStopped map[subscriptionName]bool  // filters that were removed while stopped
	had                 bool                       // there ever was a subscription
}

func (t *subscriptions) init(cfg *Config, log logsafe.Log, store deadletter.Store) {
	t.cfg, t.log, t.store, t.router = cfg, log, store, topic.NewTrie[*Subscription](0)
	t.subs, t.same = make(map[*Subscription]func()), make(map[string][]*Subscription)
	t.known, t.removedWhileStopped = make(map[uint32]int), make(map[subscriptionName]bool)
}

// Subscribes reports whether a subscription of the client matches a topic.
func (t *subscriptions) Subscribes(topic string) bool { return len(t.router.Match(topic)) > 0 }

// knows reports whether one of a message's subscription identifiers belongs to a registered
// subscription.
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

// oneGroup refuses a second group for a filter if the broker does not distinguish groups.
func (t *subscriptions) oneGroup(s *Subscription) error {
	if t.cfg.SharePrefix != topic.GroupLess || !s.shared() {
		return nil
	}
	for other := range t.subs {
		if other.shared() && other.Filter != s.Filter && topic.Unshared(other.Filter) == topic.Unshared(s.Filter) {
			return fmt.Errorf("%s does not distinguish groups: want one group for all shared subscriptions of a filter", topic.GroupLess)
		}
	}
	return nil
}

// sharesSession returns an error if s would share a session with a subscription without
// asking for it. The client's lock is held.
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
	s.id, s.levels = session.FilterID(s.Filter), topic.GuardedLevels(s.Filter) // before messages can match it
	remove, err := t.router.Add(s.Filter, s)
	if err != nil {
		return &event.Error{Op: "subscribe", Topic: s.Filter, Reason: event.ReasonBadTopic, Cause: err}
	}
	if most := t.cfg.Preset.MaxQoS; most > 0 && s.QoS > most && !s.capped {
		s.capped = true
		t.log.Warn("mqtt: a filter wants a higher QoS than "+t.cfg.Preset.Name+" grants, whose highest is asked for", logsafe.KeyFilter, s.Filter, logsafe.KeyQoS, most, logsafe.KeyAsked, s.QoS)
	}
	t.subs[s], t.had = remove, true
	t.known[s.id]++
	delete(t.removedWhileStopped, subscriptionName{s.Session, s.Filter})
	t.same[s.Filter] = append(t.same[s.Filter], s)
	return nil
}

// takeOut removes s and reports whether it was registered. The lock is held.
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

// late reports whether a filter that is being registered after Start is new, so that no
// other registration of it existed at Start.
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

// wanted combines the registrations of one filter on one session into what the broker is
// asked for: the highest QoS, retained messages if any registration wants them, and our own
// messages unless none does. The zero value means that there is no registration.
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
		f.QoS = min(f.QoS, most) // the highest that the broker grants
	}
	return f
}

// groupExpiry is how long the broker keeps a session that only has shared subscriptions: long
// enough for a restart. Then other members get what waits in it.
const groupExpiry = 5 * time.Minute

// sessionExpiry returns the expiry of one of the sessions: the configured one, or 0 for the
// default, unless the broker hands the messages of a session that ends to other members of its
// groups, and the session has no others. The lock is held.
func (t *subscriptions) sessionExpiry(name string) time.Duration {
	if t.cfg.SessionExpiry > 0 || !t.cfg.Preset.HandsOver {
		return t.cfg.SessionExpiry
	}
	expiry := time.Duration(0)
	for s := range t.subs {
		switch {
		case s.Session != name:
		case !s.shared():
			return 0
		default:
			expiry = groupExpiry
		}
	}
	return expiry
}

// mixedGroups returns the pairs of a shared filter and another filter of the same session
// that can match the same topics. The lock is held.
func (t *subscriptions) mixedGroups() (pairs [][2]string) {
	for s := range t.subs {
		if !s.shared() || s.mixed {
			continue
		}
		for other := range t.subs {
			if other.Filter != s.Filter && other.Session == s.Session && eventimpl.Overlap(topic.Unshared(other.Filter), topic.Unshared(s.Filter)) {
				s.mixed = true
				pairs = append(pairs, [2]string{other.Filter, s.Filter})
				break
			}
		}
	}
	return pairs
}
