package dedup

import (
	"errors"
	"sync"
)

// ErrRunning is the error of a call whose id another call is handling at that time:
// nobody knows yet whether it is a duplicate. A subscriber hands the message to the
// window again once the other call has ended, or a little later, and neither counts an
// attempt nor keeps a worker waiting. A [RunningError] is one.
var ErrRunning = errors.New("dedup: the id is being handled")

// RunningError is an [ErrRunning] of a call in the same process, whose end is known.
// Safe for concurrent use.
type RunningError struct{ turn *turn }

// Error implements error.
func (e *RunningError) Error() string { return ErrRunning.Error() }

// Unwrap returns [ErrRunning].
func (e *RunningError) Unwrap() error { return ErrRunning }

// OnEnd has f called once the other call has ended, at once if it has: on the
// goroutine of that call, or on this one, so that f must be quick and wait for nothing.
func (e *RunningError) OnEnd(f func()) {
	if !e.turn.add(f) {
		f()
	}
}

// Running keeps the ids that are being handled in this process. It is for
// implementations of [Window]. The zero value is ready; safe for concurrent use.
type Running struct {
	mu  sync.Mutex
	ids map[string]*turn
}

// Begin takes an id until [Running.End]. The error is a [*RunningError] when it is
// taken.
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

// End gives ids back that [Running.Begin] took, and calls what waits for that
// ([RunningError.OnEnd]).
func (r *Running) End(ids ...string) {
	for _, id := range ids {
		r.mu.Lock()
		t := r.ids[id]
		delete(r.ids, id)
		r.mu.Unlock()
		t.end()
	}
}

// turn is the time for which an id is taken.
type turn struct {
	mu      sync.Mutex
	over    bool
	waiting []func()
}

// add reports whether f is called later: not when the turn is over.
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
