package dedup

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// MemoryOptions bound a window of [NewMemory]. The zero value is useful.
type MemoryOptions struct {
	// MaxIDs is how many ids are remembered; beyond it the oldest is
	// forgotten. An id costs about 150 bytes and its length. Default 100,000.
	MaxIDs int
	// TTL is how long an id is remembered, by a clock that does not jump when
	// the time of the machine is set. It should be no shorter than the broker
	// keeps a session. Default 24 h.
	TTL time.Duration
}

// NewMemory returns a window in the memory of this process. It forgets with the
// process: after a crash, a message whose effect had happened may come again
// and happen again. It needs no Close. It reports all problems of the options
// at once.
//
// As for all windows, an id stands alone: two subscriptions that handle the
// same message, each for itself, put a name of their own in front of its id.
func NewMemory(o MemoryOptions) (Window, error) {
	var errs []error
	if o.MaxIDs < 0 {
		errs = append(errs, fmt.Errorf("dedup: MaxIDs is %d", o.MaxIDs))
	}
	if o.TTL < 0 {
		errs = append(errs, fmt.Errorf("dedup: TTL is %v", o.TTL))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if o.MaxIDs == 0 {
		o.MaxIDs = 100_000
	}
	if o.TTL == 0 {
		o.TTL = 24 * time.Hour
	}
	ids, err := simplelru.NewLRU[string, time.Time](o.MaxIDs, nil)
	if err != nil {
		return nil, fmt.Errorf("dedup: %w", err)
	}
	return &memory{ttl: o.TTL, ids: ids, running: map[string]chan struct{}{}}, nil
}

// memory is a Window. Its ids are only added and removed, never touched, so
// that the oldest in age is the oldest in use as well.
type memory struct {
	ttl time.Duration

	mu      sync.Mutex
	ids     *simplelru.LRU[string, time.Time]
	running map[string]chan struct{} // closed when the effect has ended
}

// Once implements [Window].
func (m *memory) Once(ctx context.Context, id string, effect func(context.Context) error) (duplicate bool, err error) {
	for {
		duplicate, other := m.begin(id)
		if duplicate {
			return true, nil
		}
		if other == nil {
			break
		}
		select {
		case <-other:
		case <-ctx.Done():
			return false, fmt.Errorf("dedup: waiting for the same id: %w", context.Cause(ctx))
		}
	}
	happened := false
	defer func() { m.end(id, happened) }() // also when effect panics
	err = effect(ctx)
	happened = err == nil
	return false, err
}

// begin reports whether id is remembered, or else who is at work on it. When
// that is nobody, it is the caller.
func (m *memory) begin(id string) (duplicate bool, other <-chan struct{}) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.expire(time.Now())
	if m.ids.Contains(id) {
		return true, nil
	}
	if other := m.running[id]; other != nil {
		return false, other
	}
	m.running[id] = make(chan struct{})
	return false, nil
}

func (m *memory) end(id string, happened bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if happened {
		m.ids.Add(id, time.Now())
	}
	close(m.running[id])
	delete(m.running, id)
}

// expire forgets the ids whose time is over.
func (m *memory) expire(now time.Time) {
	for {
		_, since, ok := m.ids.GetOldest()
		if !ok || now.Sub(since) < m.ttl {
			return
		}
		m.ids.RemoveOldest()
	}
}
