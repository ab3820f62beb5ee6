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

// ErrNoID is the error of a call with an empty id.
var ErrNoID = errors.New("dedup: no id")

// MemoryOptions limits a window of [NewMemory]. The zero value means the defaults.
type MemoryOptions struct {
	// MaxIDs is the maximum number of ids that are remembered. Above it, the least recently
	// seen id of the origin with the most ids is forgotten, so a sender that invents ids
	// cannot displace the ids of other origins. The origin of an id is the part before its
	// first slash or colon; all ids without one share an origin. Default 100,000.
	MaxIDs int
	// TTL is how long an id is remembered, by a monotonic clock. It should be at least as long
	// as the broker keeps sessions. Default 24 h.
	TTL time.Duration
}

// NewMemory returns a window that keeps its ids in this process only. It fails if an option is
// negative.
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
	began time.Time // has a monotonic reading, so durations since then are monotonic

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
	defer func() { m.release(id, done) }() // even if the effect panics
	if err := effect(ctx); err != nil {
		return false, err
	}
	done = true
	return false, nil
}

// claim reports whether id was seen. If not, it claims the id for the caller, or fails if
// another call is handling it.
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
