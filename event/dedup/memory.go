package dedup

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
)

// Defaults of [MemoryOptions].
const (
	DefaultMaxIDs = 100_000
	DefaultTTL    = 24 * time.Hour
)

// ErrNoID is the error of a call without an id.
var ErrNoID = errors.New("dedup: no id")

// MemoryOptions bound a window of [NewMemory]. The zero value is useful.
type MemoryOptions struct {
	// MaxIDs is how many ids are remembered. Beyond it, of the origin that has most
	// ids the one that was not seen for longest is forgotten: a sender that makes up
	// ids has none of others forgotten. The origin of an id is what is in front of its
	// first slash or colon; ids without one have the same. Default 100,000.
	MaxIDs int
	// TTL is how long an id is remembered, by a clock that nobody sets. It
	// should not be shorter than the broker keeps sessions. Default 24 h.
	TTL time.Duration
}

// NewMemory returns a window that lasts as long as the process. It fails for
// negative bounds.
func NewMemory(o MemoryOptions) (Window, error) {
	err := optioncheck.NotNegative("dedup: memory", map[string]int64{"MaxIDs": int64(o.MaxIDs)}, map[string]time.Duration{"TTL": o.TTL})
	if err != nil {
		return nil, err
	}
	if o.MaxIDs == 0 {
		o.MaxIDs = DefaultMaxIDs
	}
	if o.TTL == 0 {
		o.TTL = DefaultTTL
	}
	return &memory{began: time.Now(), seen: newRemembered(o.MaxIDs, o.TTL)}, nil
}

type memory struct {
	began time.Time // has a monotonic reading, and so has what is measured from it

	mu      sync.Mutex
	seen    *remembered
	running Running
}

// Once implements [Window].
func (m *memory) Once(ctx context.Context, id string, effect func(context.Context) error) (duplicate bool, err error) {
	if id == "" {
		return false, ErrNoID
	}
	if duplicate, err := m.claim(id); duplicate || err != nil {
		return duplicate, err
	}
	done := false
	defer func() { m.release(id, done) }() // also when the effect panics
	if err := effect(ctx); err != nil {
		return false, err
	}
	done = true
	return false, nil
}

// claim reports whether id was seen, and otherwise takes it for the caller, unless
// another call has it.
func (m *memory) claim(id string) (duplicate bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen.has(id, time.Since(m.began)) {
		return true, nil
	}
	return false, m.running.Begin(id)
}

func (m *memory) release(id string, done bool) {
	if done {
		m.mu.Lock()
		m.seen.add(id, time.Since(m.began))
		m.mu.Unlock()
	}
	m.running.End(id)
}
