package outboxsql

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// size is what was counted last, and what was accepted since.
type size struct {
	stats    outbox.Stats
	at       time.Time     // zero: must be counted
	took     time.Duration // by that count
	accepted int
	bytes    int64
}

// maxAge is how old a count may be, more when counting takes long.
func (z *size) maxAge() time.Duration { return max(time.Second, 20*z.took) }

func (s *Store) stale() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size.at = time.Time{}
}

// room is [outbox.ErrFull] when so much more would be beyond a bound.
func (s *Store) room(ctx context.Context, entries int, bytes int64) error {
	s.mu.Lock()
	z := &s.size
	known := !z.at.IsZero() && time.Since(z.at) < z.maxAge()
	near := float64(z.stats.Depth+z.accepted+entries) > 0.9*float64(s.o.MaxEntries) || float64(z.stats.Bytes+z.bytes+bytes) > 0.9*float64(s.o.MaxBytes)
	s.mu.Unlock()
	if !known || near {
		if _, err := s.count(ctx); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if z.stats.Depth+z.accepted+entries > s.o.MaxEntries || z.stats.Bytes+z.bytes+bytes > s.o.MaxBytes {
		return outbox.ErrFull
	}
	z.accepted += entries
	z.bytes += bytes
	return nil
}

// Stats implements [outbox.Store]. It may be a second old, and does not count
// what the transaction of another context has written.
func (s *Store) Stats(ctx context.Context) (outbox.Stats, error) {
	if err := s.usable(); err != nil {
		return outbox.Stats{}, err
	}
	s.mu.Lock()
	z := s.size
	s.mu.Unlock()
	if !z.at.IsZero() && z.accepted == 0 && time.Since(z.at) < z.maxAge() {
		return z.stats, nil
	}
	return s.count(ctx)
}

// count asks in the transaction of ctx, if there is one: a pool of one
// connection has no other. What it has written counts then, and until the next
// count if it is rolled back.
func (s *Store) count(ctx context.Context) (outbox.Stats, error) {
	st := outbox.Stats{MaxDepth: s.o.MaxEntries, MaxBytes: s.o.MaxBytes}
	began := time.Now()
	var oldest int64
	if err := sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.stats).Scan(&st.Depth, &st.Bytes, &oldest, &st.Quarantined); err != nil {
		return outbox.Stats{}, fmt.Errorf("outboxsql: count: %w", err)
	}
	if oldest > 0 {
		st.Oldest = time.UnixMilli(oldest)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.size = size{stats: st, at: time.Now(), took: time.Since(began)}
	return st, nil
}
