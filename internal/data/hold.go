package data

import (
	"context"
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Hold keeps messages in this process until the broker has granted its subscriptions
// in the current session. A broker accepts and drops messages that nobody has
// subscribed to, also after it has lost its sessions. Meanwhile an outbox accepts
// messages; without one a publish waits. The publisher is created before the
// subscriber, which Until sets. Safe for concurrent use.
type Hold struct {
	known chan struct{} // closed by Until

	mu      sync.Mutex
	subs    event.Subscriptions // nil before Until
	waiting []*watching         // for Until
}

// watching is a call of WatchSubscriptions before Until.
type watching struct {
	f    func(event.SubscriptionState)
	stop func() // set by Until
}

var _ event.Subscriptions = (*Hold)(nil)

// NewHold returns a Hold that holds messages back until Until is called.
func NewHold() *Hold { return &Hold{known: make(chan struct{})} }

// Until sets the subscriptions to wait for. nil means that another process
// subscribes: nothing is held back, because the persistent session of that process
// keeps its messages. Only the first call has an effect.
func (h *Hold) Until(subs event.Subscriptions) {
	if subs == nil {
		subs = elsewhere{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs != nil {
		return
	}
	h.subs = subs
	for _, w := range h.waiting {
		w.stop = subs.WatchSubscriptions(w.f)
	}
	h.waiting = nil
	close(h.known)
}

// SubscriptionState implements event.Subscriptions.
func (h *Hold) SubscriptionState() event.SubscriptionState {
	if subs := h.now(); subs != nil {
		return subs.SubscriptionState()
	}
	return event.SubscriptionState{}
}

// WatchSubscriptions implements event.Subscriptions. f is first called after Until.
func (h *Hold) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs != nil {
		return h.subs.WatchSubscriptions(f)
	}
	w := &watching{f: f}
	h.waiting = append(h.waiting, w)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if w.stop != nil {
			w.stop()
			return
		}
		h.waiting = slices.DeleteFunc(h.waiting, func(x *watching) bool { return x == w })
	}
}

// ConfirmSubscriptions implements event.Subscriptions.
func (h *Hold) ConfirmSubscriptions(ctx context.Context) error {
	select {
	case <-h.known:
		return h.now().ConfirmSubscriptions(ctx)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Subscribes implements event.Subscriptions.
func (h *Hold) Subscribes(topic string) bool {
	subs := h.now()
	return subs != nil && subs.Subscribes(topic)
}

// Wait returns nil once everything is subscribed, or an error when ctx ends.
func (h *Hold) Wait(ctx context.Context) error {
	if h.SubscriptionState().Granted {
		return nil
	}
	changed := make(chan struct{}, 1)
	stop := h.WatchSubscriptions(func(event.SubscriptionState) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for !h.SubscriptionState().Granted {
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// now returns the subscriptions, or nil before Until.
func (h *Hold) now() event.Subscriptions {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subs
}

// elsewhere stands for the subscriptions of another process: always granted, with
// topics that are not known here.
type elsewhere struct{}

// SubscriptionState implements event.Subscriptions.
func (elsewhere) SubscriptionState() event.SubscriptionState {
	return event.SubscriptionState{Session: 1, Granted: true}
}

// WatchSubscriptions implements event.Subscriptions.
func (e elsewhere) WatchSubscriptions(f func(event.SubscriptionState)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if ctx.Err() == nil {
			f(e.SubscriptionState()) // the only call: nothing changes
		}
	}()
	return cancel
}

// ConfirmSubscriptions implements event.Subscriptions.
func (elsewhere) ConfirmSubscriptions(context.Context) error { return nil }

// Subscribes implements event.Subscriptions.
func (elsewhere) Subscribes(string) bool { return false }
