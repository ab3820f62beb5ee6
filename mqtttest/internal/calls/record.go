// Package calls is what the fakes of eventfake and brokerfake have in common: the calls that a
// fake received, the errors that it returns next, and what differs between two calls.
package calls

import (
	"slices"
	"sync"
	"time"
)

// Record keeps calls in their order until the test takes them, and the errors that the next
// calls return. The zero value is empty. Safe for concurrent use.
type Record[T any] struct {
	mu    sync.Mutex
	all   []T
	taken int
	more  chan struct{} // closed by the next Add; nil while nobody waits
	errs  map[string][]error
}

// Add appends a call.
func (r *Record[T]) Add(call T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, call)
	if r.more != nil {
		close(r.more)
		r.more = nil
	}
}

// All returns all calls.
func (r *Record[T]) All() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// Rest returns the calls that were not taken.
func (r *Record[T]) Rest() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all[r.taken:])
}

// Take returns the oldest call that was not taken yet. It waits for one, and reports false if
// there is none within the time.
func (r *Record[T]) Take(within time.Duration) (call T, ok bool) {
	over := time.NewTimer(within)
	defer over.Stop()
	for {
		r.mu.Lock()
		if r.taken < len(r.all) {
			call = r.all[r.taken]
			r.taken++
			r.mu.Unlock()
			return call, true
		}
		if r.more == nil {
			r.more = make(chan struct{})
		}
		more := r.more
		r.mu.Unlock()
		select {
		case <-more:
		case <-over.C:
			return call, false
		}
	}
}

// Fail makes the next calls of a key return these errors, one each. A nil error is a call that
// succeeds.
func (r *Record[T]) Fail(key string, errs ...error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.errs == nil {
		r.errs = make(map[string][]error)
	}
	r.errs[key] = append(r.errs[key], errs...)
}

// Failure takes the error that the next call of a key returns; nil means that it succeeds.
func (r *Record[T]) Failure(key string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	errs := r.errs[key]
	if len(errs) == 0 {
		return nil
	}
	r.errs[key] = errs[1:]
	return errs[0]
}
