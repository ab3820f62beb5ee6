package data

import (
	"context"
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Hold keeps messages on this side while what this process subscribes to is not
// granted in the present session: a broker accepts and drops what nobody has
// subscribed to, also after it lost its sessions. An outbox accepts messages
// meanwhile; without one a publish waits. The publisher is made before the
// subscriber, which Until names. Safe for concurrent use.
type Hold struct {
	known chan struct{} // closed by Until

	mu      sync.Mutex
	subs    event.Subscriptions // nil before Until
	waiting []*watching         // for Until
}

// watching is somebody who watched before Until.
type watching struct {
	f    func(event.Granted)
	stop func() // set by Until
}

var _ event.Subscriptions = (*Hold)(nil)

// NewHold returns a Hold that holds.
func NewHold() *Hold { return &Hold{known: make(chan struct{})} }

// Until sets whose subscriptions to wait for. nil holds nothing back: then the
// subscriber is another process, whose persistent session keeps what it misses.
// Only the first call counts.
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

// Wait returns nil while everything is subscribed, else it waits for that within
// ctx.
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

// now returns nil before Until.
func (h *Hold) now() event.Subscriptions {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.subs
}

// elsewhere are the subscriptions of another process: always granted, and not
// known here.
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
