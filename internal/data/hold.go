package data

import (
	"context"
	"sync"
	"sync/atomic"
)

// Hold keeps messages on this side until this process has subscribed for the
// first time: a broker accepts and drops what nobody has subscribed to. An
// outbox accepts messages meanwhile; without one a publish waits. Safe for
// concurrent use.
type Hold struct {
	open  atomic.Bool
	once  sync.Once
	known chan struct{} // closed by Until, which sets ready before
	ready func(context.Context) error
}

// NewHold returns a Hold that holds.
func NewHold() *Hold { return &Hold{known: make(chan struct{})} }

// Until says what to wait for: ready returns nil once everything is subscribed.
// nil holds nothing back: then the subscriber is another process, whose
// persistent session keeps what it misses. Only the first call counts.
func (h *Hold) Until(ready func(context.Context) error) {
	h.once.Do(func() {
		h.ready = ready
		h.open.Store(ready == nil)
		close(h.known)
	})
}

// Wait returns nil at once when this process has subscribed before, else it
// waits for that within ctx.
func (h *Hold) Wait(ctx context.Context) error {
	if h.open.Load() {
		return nil
	}
	select {
	case <-h.known:
	case <-ctx.Done():
		return ctx.Err()
	}
	if h.open.Load() {
		return nil
	}
	if err := h.ready(ctx); err != nil {
		return err
	}
	h.open.Store(true)
	return nil
}
