package data

import (
	"context"
	"maps"
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
	once  sync.Once
	known chan struct{}       // closed by Until
	subs  event.Subscriptions // of this process, nil when another subscribes; set before known is closed

	mu       sync.Mutex
	now      event.Granted
	changed  chan struct{} // closed and replaced at each change
	last     int
	watchers map[int]func(event.Granted)
}

var _ event.Subscriptions = (*Hold)(nil)

// NewHold returns a Hold that holds.
func NewHold() *Hold {
	return &Hold{known: make(chan struct{}), changed: make(chan struct{}), watchers: make(map[int]func(event.Granted))}
}

// Until says whose subscriptions to wait for. nil holds nothing back: then the
// subscriber is another process, whose persistent session keeps what it misses.
// Only the first call counts.
func (h *Hold) Until(subs event.Subscriptions) {
	h.once.Do(func() {
		h.subs = subs
		close(h.known)
		if subs == nil {
			h.note(event.Granted{Session: 1, All: true})
		} else {
			subs.WatchGranted(h.note) // for as long as the process lives
		}
	})
}

func (h *Hold) note(now event.Granted) {
	h.mu.Lock()
	defer h.mu.Unlock() // also while telling: the order counts
	h.now = now
	close(h.changed)
	h.changed = make(chan struct{})
	for _, id := range slices.Sorted(maps.Keys(h.watchers)) {
		h.watchers[id](now)
	}
}

// WatchGranted implements event.Subscriptions.
func (h *Hold) WatchGranted(f func(event.Granted)) (stop func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.last++
	id := h.last
	h.watchers[id] = f
	f(h.now)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.watchers, id)
	}
}

// ConfirmGranted implements event.Subscriptions.
func (h *Hold) ConfirmGranted(ctx context.Context) error {
	select {
	case <-h.known:
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.subs == nil {
		return nil
	}
	return h.subs.ConfirmGranted(ctx)
}

// Subscribes implements event.Subscriptions.
func (h *Hold) Subscribes(topic string) bool {
	select {
	case <-h.known:
		return h.subs != nil && h.subs.Subscribes(topic)
	default:
		return false
	}
}

// Wait returns nil while everything is subscribed, else it waits for that within
// ctx.
func (h *Hold) Wait(ctx context.Context) error {
	for {
		h.mu.Lock()
		granted, changed := h.now.All, h.changed
		h.mu.Unlock()
		if granted {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
