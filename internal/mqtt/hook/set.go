// Package hook calls the hooks of the user: hooks that measure are called synchronously,
// the others on goroutines of their own, so that a hook that hangs delays only its own
// calls.
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

// Set has the user's hooks, grouped by the interfaces that they implement. The first group
// is called synchronously, the others by their tellers. A Set does not change and is safe
// for concurrent use.
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

// New returns a Set of the values that implement a hook, and an error that names the
// values that do not.
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

// told is a hook with the function that queues its calls.
type told[H any] struct {
	hook    H
	teller  *teller
	waiting *atomic.Int64 // queued calls of this kind
	most    int64         // maximum of waiting
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

// Calls returns the functions that the client calls. A function that no hook implements is
// nil.
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

// Publishing reports whether a hook implements [event.PublishHook].
func (s *Set) Publishing() bool { return len(s.publish) > 0 }

// Published calls the hooks for publishes.
func (s *Set) Published(info event.PublishInfo) {
	Protect(s.log, "a hook", func() { tell(s.publish, event.PublishHook.OnPublish, info) })
}

// Gap reports missing messages to the hooks.
func (s *Set) Gap(info event.GapInfo) { later(s.gap, event.GapHook.OnGap, info) }

// Outbox returns the function that reports events of an outbox to the hooks, or nil if no
// hook implements it.
func (s *Set) Outbox() func(event.OutboxInfo) { return eachLater(s.outbox, event.OutboxHook.OnOutbox) }

// Replying reports whether a hook implements the report of dropped replies.
func (s *Set) Replying() bool { return len(s.reply) > 0 }

// ReplyDropped reports a dropped reply to the hooks.
func (s *Set) ReplyDropped(info event.ReplyDroppedInfo) {
	later(s.reply, event.ReplyHook.OnReplyDropped, info)
}

// Connection queues f behind earlier callbacks of connections. what is its name in the
// log.
func (s *Set) Connection(what string, f func()) {
	s.main.add(func() { Protect(s.log, what, f) })
}

// grace is how long the last calls may take after the end of the context: they report what
// was not finished.
const grace = 100 * time.Millisecond

// Wait returns when all queued calls have run, or soon after ctx ends: a hook may hang, or
// may be the one that stops the client. All hooks share the time after the end of ctx.
func (s *Set) Wait(ctx context.Context) {
	late, cancel := context.WithCancel(context.Background())
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	defer stop()
	for _, t := range s.tellers {
		t.queue.Wait(late, 0)
	}
}

// each returns a function that calls each hook synchronously, or nil without hooks.
func each[H, I any](hooks []H, method func(H, I)) func(I) {
	if len(hooks) == 0 {
		return nil
	}
	return func(info I) { tell(hooks, method, info) }
}

// eachLater returns a function that queues a call of each hook, or nil without hooks.
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

// later queues a call of each hook, and waits for none.
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
