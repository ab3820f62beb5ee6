package dedup

import (
	"errors"
	"sync"
)

// ErrRunning is the error of a call whose id is being handled by another call, so that it is
// not known yet whether the message is a duplicate. A subscriber hands the message to the
// window again after the other call has ended, or a little later. This counts as no attempt
// and occupies no worker. A [RunningError] wraps it.
var ErrRunning = errors.New("dedup: the id is being handled")

// RunningError is an [ErrRunning] caused by a call in the same process, whose end is known. It
// is safe for concurrent use.
type RunningError struct{ turn *turn }

// Error implements error.
func (e *RunningError) Error() string { return ErrRunning.Error() }

// Unwrap returns [ErrRunning].
func (e *RunningError) Unwrap() error { return ErrRunning }

// OnEnd registers f, which is called once when the other call has ended, or at once if it has.
// f runs on the goroutine of that call or of OnEnd, so it must be quick and must not block.
func (e *RunningError) OnEnd(f func()) {
	if !e.turn.add(f) {
		f()
	}
}

// Running holds the ids that are being handled in this process. It is for implementations of
// [Window]. The zero value is ready to use. It is safe for concurrent use.
type Running struct {
	mu  sync.Mutex
	ids map[string]*turn
}

// Begin claims an id until [Running.End]. If it is already claimed, the error is a
// [*RunningError].
func (r *Running) Begin(id string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if t, taken := r.ids[id]; taken {
		return &RunningError{t}
	}
	if r.ids == nil {
		r.ids = make(map[string]*turn)
	}
	r.ids[id] = new(turn)
	return nil
}

// End releases ids that [Running.Begin] claimed, and calls the functions registered with
// [RunningError.OnEnd].
func (r *Running) End(ids ...string) {
	for _, id := range ids {
		r.mu.Lock()
		t := r.ids[id]
		delete(r.ids, id)
		r.mu.Unlock()
		t.end()
	}
}

// turn is the period for which an id is claimed.
type turn struct {
	mu      sync.Mutex
	over    bool
	waiting []func()
}

// add registers f and returns true, or returns false if the turn is over.
func (t *turn) add(f func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.over {
		t.waiting = append(t.waiting, f)
	}
	return !t.over
}

func (t *turn) end() {
	t.mu.Lock()
	t.over = true
	waiting := t.waiting
	t.waiting = nil
	t.mu.Unlock()
	for _, f := range waiting {
		f()
	}
}
