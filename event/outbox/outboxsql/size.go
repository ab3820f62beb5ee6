package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Stats implements [outbox.Store]. What other processes did may be missing for
// a second, or for twenty times what it takes to count the table. Only the first
// one waits for a count.
func (s *Store) Stats(ctx context.Context) (outbox.Stats, error) {
	if err := s.usable(); err != nil {
		return outbox.Stats{}, err
	}
	held, err := s.gauge.Now(ctx)
	if err != nil {
		return outbox.Stats{}, err
	}
	st := outbox.Stats{
		Depth: int(held.Rows), Bytes: held.Bytes, MaxDepth: s.o.MaxEntries, MaxBytes: s.o.MaxBytes,
		MaxQuarantined: s.o.MaxQuarantined,
	}
	aside, err := s.room.now(ctx, s)
	if err != nil {
		return outbox.Stats{}, err
	}
	st.Quarantined = int(aside.Rows)
	first, oldest, err := s.oldest(ctx, sqltx.Or(ctx, s.db), s.first.Load())
	if err != nil {
		return outbox.Stats{}, err
	}
	if first > 0 {
		st.Oldest = time.UnixMilli(oldest)
		s.first.Store(first)
	}
	return st, nil
}

// oldest is the first waiting entry from a seq on, 0 without one. From the start
// the database would go through all that was removed and cannot be forgotten
// yet, because an old snapshot is open.
func (s *Store) oldest(ctx context.Context, q sqltx.Querier, from int64) (seq, accepted int64, err error) {
	err = q.QueryRowContext(ctx, s.sql.oldest, from).Scan(&seq, &accepted)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("outboxsql: oldest: %w", err)
	}
	return seq, accepted, nil
}

// count counts the whole table, for the gauge, in the background.
func (s *Store) count(ctx context.Context, q sqltx.Querier) (tablesize.Amount, error) {
	var a tablesize.Amount
	if err := q.QueryRowContext(ctx, s.sql.count).Scan(&a.Rows, &a.Bytes); err != nil {
		return tablesize.Amount{}, fmt.Errorf("outboxsql: count: %w", err)
	}
	// What became visible late, or was put back by another process, is first.
	first, _, err := s.oldest(ctx, q, 0)
	if err != nil {
		return tablesize.Amount{}, err
	}
	s.first.Store(first)
	return a, nil
}
