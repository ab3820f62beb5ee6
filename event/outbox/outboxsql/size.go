package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/fill"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Stats implements [outbox.Store]. What other processes did may be missing for
// a second, or for twenty times what it takes to count the table.
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
		Quarantined: int(s.quarantined.Load()),
	}
	var oldest int64
	err = sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.oldest).Scan(&oldest)
	switch {
	case errors.Is(err, sql.ErrNoRows):
	case err != nil:
		return outbox.Stats{}, fmt.Errorf("outboxsql: oldest: %w", err)
	default:
		st.Oldest = time.UnixMilli(oldest)
	}
	return st, nil
}

// count counts the whole table, for the gauge.
func (s *Store) count(ctx context.Context, q sqltx.Querier) (fill.Amount, error) {
	var a fill.Amount
	var quarantined int64
	if err := q.QueryRowContext(ctx, s.sql.count).Scan(&a.Rows, &a.Bytes, &quarantined); err != nil {
		return fill.Amount{}, fmt.Errorf("outboxsql: count: %w", err)
	}
	s.quarantined.Store(quarantined)
	return a, nil
}
