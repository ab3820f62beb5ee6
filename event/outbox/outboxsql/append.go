package outboxsql

import (
	"context"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/sqldialect"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Append implements [outbox.Store]. The entries are durable when the
// transaction commits: that of ctx, or one of its own. That of ctx must belong
// to the database of the store. An entry whose texts are no UTF-8 or have a NUL
// is refused.
func (s *Store) Append(ctx context.Context, entries ...*outbox.Entry) error {
	if err := s.usable(); err != nil {
		return err
	}
	a := tablesize.Amount{Rows: int64(len(entries))}
	for _, e := range entries {
		if err := check(e); err != nil {
			return err
		}
		a.Bytes += int64(e.Size())
	}
	if len(entries) == 0 {
		return nil
	}
	room, err := s.gauge.Write(ctx, a, func() error { return s.insertAll(ctx, entries) })
	if err != nil {
		return fmt.Errorf("outboxsql: append: %w", full(err))
	}
	if !room {
		return outbox.ErrFull
	}
	if !sqltx.OnEnd(ctx, func(bool) { s.hint() }) {
		s.hint()
	}
	return nil
}

func (s *Store) insertAll(ctx context.Context, entries []*outbox.Entry) error {
	now := time.Now().Truncate(time.Millisecond)
	if len(entries) == 1 { // a statement is a transaction
		return s.insert(ctx, entries[0], now)
	}
	return sqltx.Run(ctx, s.db, func(ctx context.Context) error {
		for _, e := range entries {
			if err := s.insert(ctx, e, now); err != nil {
				return err
			}
		}
		return nil
	})
}

func (s *Store) insert(ctx context.Context, e *outbox.Entry, now time.Time) error {
	headers, err := besides(e)
	if err != nil {
		return err
	}
	var seq int64
	err = sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.insert,
		e.ID, e.Key, e.Topic, sqldialect.NotNull(e.Payload), int16(e.QoS), e.Retain, e.ContentType, e.ResponseTopic,
		sqldialect.NotNull(e.CorrelationData), int64(e.Expiry), headers, now.UnixMilli(), int64(e.Size())).Scan(&seq)
	if err != nil {
		return err
	}
	e.Seq, e.Accepted = uint64(seq), now
	return nil
}
