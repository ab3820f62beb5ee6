package bridge

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// hookSet are the user's hooks by what they want to be told. The first are
// called where it happens, the others by their tellers.
type hookSet struct {
	publish    []event.PublishHook
	handle     []event.HandleHook
	retry      []event.RetryHook
	deadLetter []event.DeadLetterHook
	park       []event.ParkHook
	duplicate  []event.DuplicateHook

	held       []told[event.HeldHook]
	connect    []told[event.ConnectHook]
	disconnect []told[event.DisconnectHook]
	session    []told[event.SessionHook]
	subscribe  []told[event.SubscribeHook]
	drop       []told[event.DropHook]
	gap        []told[event.GapHook]
	outbox     []told[event.OutboxHook]
	reply      []told[event.ReplyHook]

	log     client.Logger
	tellers []*teller // one for each hook, and main
	main    *teller   // of OnConnect and OnDisconnect
}

// told is a hook with what calls it.
type told[H any] struct {
	hook    H
	teller  *teller
	waiting *atomic.Int64 // calls of this kind
	most    int64         // of them
}

func (s *hookSet) newTeller() *teller {
	t := &teller{set: s}
	s.tellers = append(s.tellers, t)
	return t
}

// sortHooks reports every value that is no hook.
func sortHooks(hooks []any) (s *hookSet, err error) {
	s = new(hookSet)
	s.main = s.newTeller()
	var errs []error
	for _, h := range hooks {
		if !s.add(h) {
			errs = append(errs, fmt.Errorf("a %T is no hook: it implements no hook interface of package event", h))
		}
	}
	return s, errors.Join(errs...)
}

func (s *hookSet) add(h any) bool {
	t := s.newTeller()
	found := []bool{
		collect(&s.publish, h), collect(&s.handle, h), collect(&s.retry, h),
		collect(&s.deadLetter, h), collect(&s.park, h), collect(&s.duplicate, h),
		collectTold(&s.held, h, t, maxTold), collectTold(&s.connect, h, t, maxTold), collectTold(&s.disconnect, h, t, maxTold), collectTold(&s.session, h, t, maxTold),
		collectTold(&s.subscribe, h, t, maxTold), collectTold(&s.drop, h, t, maxTold), collectTold(&s.gap, h, t, maxToldOfSenders), collectTold(&s.outbox, h, t, maxTold),
		collectTold(&s.reply, h, t, maxToldOfSenders),
	}
	for _, ok := range found {
		if ok {
			return true
		}
	}
	return false
}

func collect[H any](to *[]H, hook any) bool {
	h, ok := hook.(H)
	if ok {
		*to = append(*to, h)
	}
	return ok
}

func collectTold[H any](to *[]told[H], hook any, t *teller, most int64) bool {
	h, ok := hook.(H)
	if ok {
		*to = append(*to, told[H]{h, t, new(atomic.Int64), most})
	}
	return ok
}

// engine returns the engine's form of those that it knows, in which what nobody
// wants to know is nil.
func (s *hookSet) engine() (e client.Hooks) {
	if hooks := s.handle; len(hooks) > 0 {
		e.Handled = func(d *client.Delivery, attempt int, took time.Duration, err error) {
			tell(hooks, event.HandleHook.OnHandle, event.HandleInfo{Delivery: delivered(d, attempt), Duration: took, Err: err})
		}
	}
	if hooks := s.retry; len(hooks) > 0 {
		e.Retrying = func(d *client.Delivery, attempt int, after time.Duration, err error) {
			tell(hooks, event.RetryHook.OnRetry, event.RetryInfo{Delivery: delivered(d, attempt), After: after, Err: err})
		}
	}
	if hooks := s.deadLetter; len(hooks) > 0 {
		e.DeadLettered = func(d *client.Delivery, id, topic string, attempts int, cause error) {
			tell(hooks, event.DeadLetterHook.OnDeadLetter, event.DeadLetterInfo{
				Delivery: delivered(d, attempts), ID: id, Destination: topic, Err: cause,
			})
		}
	}
	if hooks := s.park; len(hooks) > 0 {
		e.Parked = func(d *client.Delivery, id, key string, attempts int, cause error) {
			tell(hooks, event.ParkHook.OnPark, event.ParkInfo{Delivery: delivered(d, attempts), ID: id, Key: key, Err: cause})
		}
	}
	if hooks := s.held; len(hooks) > 0 {
		e.Held = func(h event.HeldKey) { later(hooks, event.HeldHook.OnHeld, h) }
	}
	s.engineConnection(&e)
	return e
}

func (s *hookSet) engineConnection(e *client.Hooks) {
	if hooks := s.connect; len(hooks) > 0 {
		e.Connected = func(clientID, address string, present bool, err error) {
			later(hooks, event.ConnectHook.OnConnect, event.ConnectInfo{
				ClientID: clientID, Address: address, SessionPresent: present, Err: client.ErrorOf("connect", "", err),
			})
		}
	}
	if hooks := s.disconnect; len(hooks) > 0 {
		e.Disconnected = func(clientID, address string, err error) {
			later(hooks, event.DisconnectHook.OnDisconnect, event.DisconnectInfo{
				ClientID: clientID, Address: address, Cause: event.CauseOf(err), Err: client.ErrorOf("connect", "", err),
			})
		}
	}
	if hooks := s.session; len(hooks) > 0 {
		e.SessionLost = func(clientID string, unfinished int) {
			later(hooks, event.SessionHook.OnSessionLost, event.SessionLostInfo{ClientID: clientID, Unfinished: unfinished})
		}
	}
	if hooks := s.subscribe; len(hooks) > 0 {
		e.Subscribed = func(filter string, granted int, err error) {
			later(hooks, event.SubscribeHook.OnSubscribe, event.SubscribeInfo{
				Filter: filter, Granted: granted, Err: client.ErrorOf("subscribe", filter, err),
			})
		}
		e.Lowered = func(filter string, asked, granted byte, err error) {
			later(hooks, event.SubscribeHook.OnSubscribe, event.SubscribeInfo{
				Filter: filter, AskedQoS: asked, GrantedQoS: granted, Err: client.ErrorOf("subscribe", filter, err),
			})
		}
	}
	if hooks := s.drop; len(hooks) > 0 {
		e.Dropped = func(full, unmatched, illFormed, kept int) {
			for _, h := range hooks {
				h.teller.dropped(h.hook, event.DropInfo{
					QueueFull: full, Unmatched: unmatched, IllFormed: illFormed, UnmatchedKept: kept,
				})
			}
		}
	}
}

func tell[H, I any](hooks []H, method func(H, I), info I) {
	for _, h := range hooks {
		method(h, info)
	}
}

// later has each hook told, and waits for none.
func later[H, I any](hooks []told[H], method func(H, I), info I) {
	for _, h := range hooks {
		if h.waiting.Add(1) > h.most {
			h.waiting.Add(-1)
			h.teller.miss()
			continue
		}
		added := h.teller.add(func() {
			h.waiting.Add(-1)
			method(h.hook, info)
		})
		if !added {
			h.waiting.Add(-1)
		}
	}
}

func delivered(d *client.Delivery, attempt int) event.Delivery {
	return event.Delivery{
		Filter: d.Filter(), Topic: d.Topic, QoS: d.QoS, Size: len(d.Payload), Attempt: attempt,
	}
}
