package outboxsql

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// maxReason is how much of a reason is kept.
const maxReason = 1024

// stamp begins the reason of an entry with when it was quarantined.
const stamp = "2006-01-02T15:04:05.000Z07:00"

func stamped(reason string, now time.Time) string {
	reason = clean(reason[:min(len(reason), maxReason)])
	return strings.TrimSpace(now.UTC().Format(stamp) + " " + reason)
}

// unstamped reads what stamped wrote, and what earlier versions did, which noted
// no time.
func unstamped(text string) (time.Time, string) {
	first, rest, _ := strings.Cut(text, " ")
	at, err := time.Parse(stamp, first)
	if err != nil {
		return time.Time{}, text
	}
	return at, rest
}

// Quarantine implements [outbox.Store]. The entry stays in the table with the
// time and the reason in its column "quarantined"; an operator who empties that
// column has it sent again, as Requeue does.
func (s *Store) Quarantine(ctx context.Context, seq uint64, reason string) error {
	if err := s.usable(); err != nil {
		return err
	}
	giveBack, err := s.askQuarantine(ctx, int64(seq))
	if err != nil {
		return err
	}
	took := 0
	err = s.gauge.Free(ctx, func() (a tablesize.Amount, err error) {
		a, took, err = s.take(ctx, s.db, s.sql.quarantine, int64(seq), stamped(reason, time.Now()))
		s.room.add(a.Rows, a.Bytes)
		return a, err
	})
	if took == 0 {
		giveBack()
	}
	var left []uint64
	if err == nil && took == 0 {
		left, err = s.left(ctx, []uint64{seq})
	}
	if err != nil {
		return fmt.Errorf("outboxsql: quarantine: %w", full(err))
	}
	if len(left) > 0 {
		return &outbox.BusyError{Seqs: left}
	}
	return nil
}

// Quarantined implements [outbox.Store].
func (s *Store) Quarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	rows, err := sqltx.Or(ctx, s.db).QueryContext(ctx, s.sql.quarantined, int64(after), limit)
	if err != nil {
		return nil, fmt.Errorf("outboxsql: quarantined: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []outbox.Quarantined
	for rows.Next() {
		var reason string
		e, bad, err := scanEntry(rows, &reason)
		if err != nil {
			return nil, fmt.Errorf("outboxsql: quarantined: %w", err)
		}
		q := outbox.Quarantined{Seq: e.Seq, Entry: e}
		q.Time, q.Reason = unstamped(reason)
		if bad != nil {
			q.Entry = nil
		}
		out = append(out, q)
	}
	return out, rows.Err()
}

// Requeue implements [outbox.Store]. It has a transaction of its own, or that
// of ctx. One that cannot be decoded is quarantined again by the Read that meets
// it.
func (s *Store) Requeue(ctx context.Context, seqs ...uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	err := sqltx.Run(ctx, s.db, func(ctx context.Context) error {
		for len(seqs) > 0 {
			n := min(len(seqs), removeMost)
			if err := s.requeue(ctx, seqs[:n]); err != nil {
				return err
			}
			seqs = seqs[n:]
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("outboxsql: requeue: %w", full(err))
	}
	s.first.Store(0) // what was first may not be any more
	s.hint()
	return nil
}

func (s *Store) requeue(ctx context.Context, seqs []uint64) error {
	in, args := list(seqs)
	var a tablesize.Amount
	row := sqltx.Or(ctx, s.db).QueryRowContext(ctx, strings.Replace(s.sql.sizes, "{seqs}", in, 1), args...)
	if err := row.Scan(&a.Rows, &a.Bytes); err != nil {
		return err
	}
	room, err := s.gauge.Write(ctx, a, func() error {
		moved, _, err := s.take(ctx, sqltx.Or(ctx, s.db), strings.Replace(s.sql.requeue, "{seqs}", in, 1), args...)
		s.room.add(-moved.Rows, -moved.Bytes)
		return err
	})
	if err == nil && !room {
		err = outbox.ErrFull
	}
	return err
}

// Discard implements [outbox.Store]. Entries are removed by 500.
func (s *Store) Discard(ctx context.Context, seqs ...uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	for len(seqs) > 0 {
		n := min(len(seqs), removeMost)
		in, args := list(seqs[:n])
		if _, _, err := s.take(ctx, s.db, strings.Replace(s.sql.discard, "{seqs}", in, 1), args...); err != nil {
			return fmt.Errorf("outboxsql: discard: %w", full(err))
		}
		seqs = seqs[n:]
	}
	return nil
}
