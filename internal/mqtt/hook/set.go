// Package hook calls the hooks of the user: those that measure where it happens, the
// others on goroutines of their own, so that a hook that hangs delays nothing but itself.
package hook

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Set has the user's hooks by what they implement. The first are called where it
// happens, the others by their tellers. It does not change; it is safe for concurrent
// use.
type Set struct {
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

	log     logsafe.Logger
	tellers []*teller // one for each hook, and main
	main    *teller   // of OnConnect and OnDisconnect
}

// New returns the hooks that are hooks, and an error that names the values that are none.
func New(hooks []any, log logsafe.Logger) (s *Set, err error) {
	s = &Set{log: log}
	s.main = s.newTeller()
	var errs []error
	for _, h := range hooks {
		if !s.add(h) {
			errs = append(errs, fmt.Errorf("a %T is no hook: it implements no hook interface of package event", h))
		}
	}
	return s, errors.Join(errs...)
}

// told is a hook with what calls it.
type told[H any] struct {
	hook    H
	teller  *teller
	waiting *atomic.Int64 // calls of this kind
	most    int64         // of them
}

func (s *Set) newTeller() *teller {
	t := newTeller(s.log)
	s.tellers = append(s.tellers, t)
	return t
}

func (s *Set) add(h any) bool {
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

// Calls returns what the client calls; what no hook wants is nil.
func (s *Set) Calls() Calls {
	h := Calls{
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

// Publishing reports whether a hook wants publishes.
func (s *Set) Publishing() bool { return len(s.publish) > 0 }

// Published calls the hooks that want publishes.
func (s *Set) Published(info event.PublishInfo) {
	Protect(s.log, "a hook", func() { tell(s.publish, event.PublishHook.OnPublish, info) })
}

// Gap reports to the hooks missing messages.
func (s *Set) Gap(info event.GapInfo) { later(s.gap, event.GapHook.OnGap, info) }

// Outbox returns what reports to the hooks an outbox; nil without one.
func (s *Set) Outbox() func(event.OutboxInfo) { return eachLater(s.outbox, event.OutboxHook.OnOutbox) }

// Replying reports whether a hook wants dropped replies.
func (s *Set) Replying() bool { return len(s.reply) > 0 }

// ReplyDropped reports to the hooks a dropped reply.
func (s *Set) ReplyDropped(info event.ReplyDroppedInfo) {
	later(s.reply, event.ReplyHook.OnReplyDropped, info)
}

// Connection has f called behind the callbacks of connections before it. what is its
// name in the log.
func (s *Set) Connection(what string, f func()) {
	s.main.add(func() { Protect(s.log, what, f) })
}

// grace is what the last calls may take after the end of the context: they report what
// was left undone.
const grace = 100 * time.Millisecond

// Wait returns when every hook was called, or soon after ctx ends: a hook may hang,
// or be the one that stops the client. The time after the end is for all hooks together.
func (s *Set) Wait(ctx context.Context) {
	late, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	for _, t := range s.tellers {
		t.queue.Wait(late, 0)
	}
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
