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

// watching is a call of WatchGranted before Until.
type watching struct {
	f    func(event.Granted)
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
		w.stop = subs.WatchGranted(w.f)
	}
	h.waiting = nil
	close(h.known)
}

// Granted implements event.Subscriptions.
func (h *Hold) Granted() event.Granted {
	if subs := h.now(); subs != nil {
		return subs.Granted()
	}
	return event.Granted{}
}

// WatchGranted implements event.Subscriptions. f is first called after Until.
func (h *Hold) WatchGranted(f func(event.Granted)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.subs != nil {
		return h.subs.WatchGranted(f)
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

// ConfirmGranted implements event.Subscriptions.
func (h *Hold) ConfirmGranted(ctx context.Context) error {
	select {
	case <-h.known:
		return h.now().ConfirmGranted(ctx)
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
	if h.Granted().All {
		return nil
	}
	changed := make(chan struct{}, 1)
	stop := h.WatchGranted(func(event.Granted) {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	defer stop()
	for !h.Granted().All {
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

// Granted implements event.Subscriptions.
func (elsewhere) Granted() event.Granted { return event.Granted{Session: 1, All: true} }

// WatchGranted implements event.Subscriptions.
func (e elsewhere) WatchGranted(f func(event.Granted)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		if ctx.Err() == nil {
			f(e.Granted()) // the only call: nothing changes
		}
	}()
	return cancel
}

// ConfirmGranted implements event.Subscriptions.
func (elsewhere) ConfirmGranted(context.Context) error { return nil }

// Subscribes implements event.Subscriptions.
func (elsewhere) Subscribes(string) bool { return false }
