// Package hook calls the hooks of the user: hooks that measure are called synchronously,
// the others on goroutines of their own, so that a hook that hangs delays only its own
// calls.
package hook

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// Set has the user's hooks, grouped by the interfaces that they implement. The first group
// is called synchronously, the others by their callers. A Set does not change and is safe
// for concurrent use.
type Set struct {
	arrival    []switched[event.ArrivalHook]
	publish    []event.PublishHook
	payload    []event.PayloadSwitch // of publish
	handle     []event.HandleHook
	retry      []event.RetryHook
	deadLetter []event.DeadLetterHook
	park       []event.ParkHook
	duplicate  []event.DuplicateHook

	held       []queued[event.ParkedKeyHook]
	connect    []queued[event.ConnectAttemptHook]
	disconnect []queued[event.ConnectionLostHook]
	session    []queued[event.SessionLostHook]
	subscribe  []queued[event.SubscribeHook]
	drop       []queued[event.UnhandledHook]
	gap        []queued[event.GapHook]
	outbox     []queued[event.OutboxHook]
	relay      []queued[event.RelayHook]
	reply      []queued[event.ReplyDroppedHook]
	pause      []queued[event.PauseHook]

	log     logsafe.Log
	callers []*caller // one for each hook, and main
	main    *caller   // of OnConnect and OnDisconnect
}

// New returns a Set of the values that implement a hook, and an error that names the
// values that do not.
func New(hooks []any, log logsafe.Log) (s *Set, err error) {
	s = &Set{log: log}
	s.main = s.newCaller()
	var errs []error
	for _, h := range hooks {
		if !s.add(h) {
			errs = append(errs, fmt.Errorf("a %T is no hook: it implements no hook interface of package event", h))
		}
	}
	return s, errors.Join(errs...)
}

// queued is a hook with the function that queues its calls.
type queued[H any] struct {
	hook    H
	caller  *caller
	waiting *atomic.Int64 // queued calls of this kind
	most    int64         // maximum of waiting
}

func (s *Set) newCaller() *caller {
	t := newCaller(s.log)
	s.callers = append(s.callers, t)
	return t
}

func (s *Set) add(h any) bool {
	t := s.newCaller()
	if on, ok := h.(event.PayloadSwitch); ok {
		if _, ok := h.(event.PublishHook); ok {
			s.payload = append(s.payload, on)
		}
	}
	found := []bool{
		collectSwitched(&s.arrival, h), collect(&s.publish, h), collect(&s.handle, h), collect(&s.retry, h),
		collect(&s.deadLetter, h), collect(&s.park, h), collect(&s.duplicate, h),
		collectQueued(&s.held, h, t, maxQueued), collectQueued(&s.connect, h, t, maxQueued), collectQueued(&s.disconnect, h, t, maxQueued), collectQueued(&s.session, h, t, maxQueued),
		collectQueued(&s.subscribe, h, t, maxQueued), collectQueued(&s.drop, h, t, maxQueued), collectQueued(&s.gap, h, t, maxQueuedOfSenders), collectQueued(&s.outbox, h, t, maxQueued),
		collectQueued(&s.relay, h, t, maxQueued),
		collectQueued(&s.reply, h, t, maxQueuedOfSenders), collectQueued(&s.pause, h, t, maxQueued),
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

// switched is a hook that is not called while its switch is off.
type switched[H any] struct {
	hook H
	on   event.PayloadSwitch // nil if it is always called
}

// wants reports whether the hook is called now.
func (s switched[H]) wants() bool { return s.on == nil || s.on.WantsPayloads() }

func arrived(s switched[event.ArrivalHook], info event.ArrivalInfo) {
	if s.wants() {
		s.hook.OnArrival(info)
	}
}

func collectSwitched[H any](to *[]switched[H], hook any) bool {
	h, ok := hook.(H)
	if ok {
		on, _ := hook.(event.PayloadSwitch)
		*to = append(*to, switched[H]{h, on})
	}
	return ok
}

func collectQueued[H any](to *[]queued[H], hook any, t *caller, most int64) bool {
	h, ok := hook.(H)
	if ok {
		*to = append(*to, queued[H]{h, t, new(atomic.Int64), most})
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
		Held:         eachLater(s.held, event.ParkedKeyHook.OnParkedKey),
		Connected:    eachLater(s.connect, event.ConnectAttemptHook.OnConnectAttempt),
		Disconnected: eachLater(s.disconnect, event.ConnectionLostHook.OnConnectionLost),
		SessionLost:  eachLater(s.session, event.SessionLostHook.OnSessionLost),
		Subscribed:   eachLater(s.subscribe, event.SubscribeHook.OnSubscribe),
		Paused:       eachLater(s.pause, event.PauseHook.OnPause),
	}
	if hooks := s.arrival; len(hooks) > 0 {
		h.Arriving = func() bool { return slices.ContainsFunc(hooks, switched[event.ArrivalHook].wants) }
		h.Arrived = func(info event.ArrivalInfo) { tell(hooks, arrived, info) }
	}
	if hooks := s.drop; len(hooks) > 0 {
		h.Dropped = func(info event.UnhandledInfo) {
			for _, hook := range hooks {
				hook.caller.dropped(hook.hook, info)
			}
		}
	}
	return h
}

// Publishing reports whether a hook implements [event.PublishHook].
func (s *Set) Publishing() bool { return len(s.publish) > 0 }

// Payloads reports whether a hook for publishes wants payloads now.
func (s *Set) Payloads() (wanted bool) {
	if len(s.payload) > 0 {
		Protect(s.log, "a hook", func() { wanted = slices.ContainsFunc(s.payload, event.PayloadSwitch.WantsPayloads) })
	}
	return wanted
}

// Published calls the hooks for publishes.
func (s *Set) Published(info event.PublishInfo) {
	Protect(s.log, "a hook", func() { tell(s.publish, event.PublishHook.OnPublish, info) })
}

// Gap reports missing messages to the hooks.
func (s *Set) Gap(info event.GapInfo) { later(s.gap, event.GapHook.OnGap, info) }

// Outbox returns the function that reports events of an outbox to the hooks, or nil if no
// hook implements it.
func (s *Set) Outbox() func(event.OutboxInfo) { return eachLater(s.outbox, event.OutboxHook.OnOutbox) }

// Relaying reports whether a hook implements [event.RelayHook].
func (s *Set) Relaying() bool { return len(s.relay) > 0 }

// Relayed reports an attempt to send a message of an outbox to the hooks.
func (s *Set) Relayed(info event.RelayInfo) { later(s.relay, event.RelayHook.OnRelay, info) }

// Replying reports whether a hook implements the report of dropped replies.
func (s *Set) Replying() bool { return len(s.reply) > 0 }

// ReplyDropped reports a dropped reply to the hooks.
func (s *Set) ReplyDropped(info event.ReplyDroppedInfo) {
	later(s.reply, event.ReplyDroppedHook.OnReplyDropped, info)
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
	for _, t := range s.callers {
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
func eachLater[H, I any](hooks []queued[H], method func(H, I)) func(I) {
	if len(hooks) == 0 {
		return nil
	}
	return func(info I) { later(hooks, method, info) }
}

// tell calls each hook, also those behind one that panics: what measures must not stop
// because of another hook. The caller gets the panic.
func tell[H, I any](hooks []H, method func(H, I), info I) {
	if len(hooks) == 0 {
		return
	}
	defer tell(hooks[1:], method, info)
	method(hooks[0], info)
}

// later queues a call of each hook, and waits for none.
func later[H, I any](hooks []queued[H], method func(H, I), info I) {
	for _, h := range hooks {
		if h.waiting.Add(1) > h.most {
			h.waiting.Add(-1)
			h.caller.miss()
			continue
		}
		added := h.caller.add(func() {
			h.waiting.Add(-1)
			method(h.hook, info)
		})
		if !added {
			h.waiting.Add(-1)
		}
	}
}
