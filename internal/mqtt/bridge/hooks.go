package bridge

import (
	"errors"
	"fmt"
	"sync/atomic"

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

// client returns the hooks of which the client tells; what nobody wants to know is nil.
func (s *hookSet) client() client.Hooks {
	h := client.Hooks{
		Handled:      each(s.handle, event.HandleHook.OnHandle),
		Retrying:     each(s.retry, event.RetryHook.OnRetry),
		DeadLettered: each(s.deadLetter, event.DeadLetterHook.OnDeadLetter),
		Parked:       each(s.park, event.ParkHook.OnPark),
		Duplicate:    each(s.duplicate, event.DuplicateHook.OnDuplicate),
		Held:         eachLater(s.held, event.HeldHook.OnHeld),
		Connected:    eachLater(s.connect, event.ConnectHook.OnConnect),
		Disconnected: eachLater(s.disconnect, event.DisconnectHook.OnDisconnect),
		SessionLost:  eachLater(s.session, event.SessionHook.OnSessionLost),
		Subscribed:   eachLater(s.subscribe, event.SubscribeHook.OnSubscribe),
	}
	if hooks := s.drop; len(hooks) > 0 {
		h.Dropped = func(info event.DropInfo) {
			for _, hook := range hooks {
				hook.teller.dropped(hook.hook, info)
			}
		}
	}
	return h
}

// each returns what tells each hook where it happens; nil without one.
func each[H, I any](hooks []H, method func(H, I)) func(I) {
	if len(hooks) == 0 {
		return nil
	}
	return func(info I) { tell(hooks, method, info) }
}

// eachLater returns what has each hook told; nil without one.
func eachLater[H, I any](hooks []told[H], method func(H, I)) func(I) {
	if len(hooks) == 0 {
		return nil
	}
	return func(info I) { later(hooks, method, info) }
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
