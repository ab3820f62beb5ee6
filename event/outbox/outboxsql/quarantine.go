package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// maxReason is the number of bytes of a reason that are kept.
const maxReason = 1024

// stamp is the format of the time of quarantining, which precedes the reason.
const stamp = "2006-01-02T15:04:05.000Z07:00"

func stamped(reason string, now time.Time) string {
	reason = clean(reason[:min(len(reason), maxReason)])
	return strings.TrimSpace(now.UTC().Format(stamp) + " " + reason)
}

// unstamped parses the text of stamped, and that of earlier versions, which has no time.
func unstamped(text string) (time.Time, string) {
	first, rest, _ := strings.Cut(text, " ")
	at, err := time.Parse(stamp, first)
	if err != nil {
		return time.Time{}, text
	}
	return at, rest
}

// Quarantine implements [outbox.Store]. The entry stays in the table, with the time and the
// reason in its column "quarantined". An operator who clears that column has the entry sent again.
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

// RetryQuarantined implements [outbox.Store], in the transaction of ctx or its own. An entry that
// cannot be decoded is quarantined again when Read finds it.
func (s *Store) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	err := sqltx.Run(ctx, s.db, func(ctx context.Context) error {
		for len(seqs) > 0 {
			n := min(len(seqs), removeMost)
			if err := s.retry(ctx, seqs[:n]); err != nil {
				return err
			}
			seqs = seqs[n:]
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("outboxsql: retry quarantined: %w", full(err))
	}
	s.first.Store(0) // an earlier entry may be waiting now
	s.hint()
	return nil
}

func (s *Store) retry(ctx context.Context, seqs []uint64) error {
	in, args := list(seqs)
	var a tablesize.Amount
	row := sqltx.Or(ctx, s.db).QueryRowContext(ctx, strings.Replace(s.sql.sizes, "{seqs}", in, 1), args...)
	if err := row.Scan(&a.Rows, &a.Bytes); err != nil {
		return err
	}
	room, err := s.gauge.Write(ctx, a, func() error {
		moved, _, err := s.take(ctx, sqltx.Or(ctx, s.db), strings.Replace(s.sql.retry, "{seqs}", in, 1), args...)
		s.room.add(-moved.Rows, -moved.Bytes)
		return err
	})
	if err == nil && !room {
		err = outbox.ErrFull
	}
	return err
}

// DeleteQuarantined implements [outbox.Store]. It deletes up to 500 entries per statement.
func (s *Store) DeleteQuarantined(ctx context.Context, seqs ...uint64) error {
	if err := s.usable(); err != nil {
		return err
	}
	for len(seqs) > 0 {
		n := min(len(seqs), removeMost)
		in, args := list(seqs[:n])
		if _, _, err := s.take(ctx, s.db, strings.Replace(s.sql.removeQuarantined, "{seqs}", in, 1), args...); err != nil {
			return fmt.Errorf("outboxsql: delete quarantined: %w", full(err))
		}
		seqs = seqs[n:]
	}
	return nil
}

// quarantineRoom tracks how much is quarantined: the last count, and the changes since then.
type quarantineRoom struct {
	mu      sync.Mutex
	held    tablesize.Amount
	counted time.Time
	// usage is the use of each key, counted within cost; nil if unknown. It is needed only
	// while more than half of a bound is used.
	usage *outbox.QuarantineUsage
	since time.Time
	cost  time.Duration
}

// roomAge is the maximum age of the count. The count reads an index of the quarantined
// entries, whose number is limited.
const roomAge = 10 * time.Second

// roomShare limits the time spent on counting the use of each key to 1/roomShare.
const roomShare = 20

func (q *quarantineRoom) add(rows, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held.Rows += rows
	q.held.Bytes += bytes
	if rows < 0 { // the use of each key is counted again when needed
		q.usage = nil
	}
}

func (q *quarantineRoom) now(ctx context.Context, s *Store) (tablesize.Amount, error) {
	q.mu.Lock()
	held, fresh := q.held, !q.counted.IsZero() && time.Since(q.counted) < roomAge
	q.mu.Unlock()
	if fresh {
		return held, nil
	}
	err := sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.countQuarantined).Scan(&held.Rows, &held.Bytes)
	if err != nil {
		return held, fmt.Errorf("outboxsql: count what is quarantined: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held, q.counted = held, time.Now()
	return held, nil
}

// askQuarantine reserves room in the quarantine for an entry, if the entry exists. The
// returned function releases the room.
func (s *Store) askQuarantine(ctx context.Context, seq int64) (giveBack func(), err error) {
	held, err := s.room.now(ctx, s)
	if err != nil {
		return nil, err
	}
	var key string
	var size int64
	switch err := sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.one, seq).Scan(&key, &size); {
	case errors.Is(err, sql.ErrNoRows):
		return func() {}, nil
	case err != nil:
		return nil, fmt.Errorf("outboxsql: quarantine: %w", err)
	}
	if 2*(held.Rows+1) <= int64(s.o.MaxQuarantined) && 2*(held.Bytes+size) <= s.o.MaxQuarantinedBytes {
		return s.room.note(key, size), nil // less than half is used: every key has room
	}
	usage, err := s.room.ofKeys(ctx, s)
	if err != nil {
		return nil, err
	}
	if err := usage.Take(key, size); err != nil {
		return nil, err
	}
	return func() { usage.Add(key, -1, -size) }, nil
}

// note counts an entry for its key, if the use of each key is known. The returned function
// reverts it.
func (q *quarantineRoom) note(key string, size int64) (takeBack func()) {
	q.mu.Lock()
	usage := q.usage
	q.mu.Unlock()
	if usage == nil {
		return func() {}
	}
	usage.Add(key, 1, size)
	return func() { usage.Add(key, -1, -size) }
}

// ofKeys returns the use of each key.
func (q *quarantineRoom) ofKeys(ctx context.Context, s *Store) (*outbox.QuarantineUsage, error) {
	q.mu.Lock()
	usage := q.usage
	fresh := usage != nil && time.Since(q.since) < max(roomAge, roomShare*q.cost)
	q.mu.Unlock()
	if fresh {
		return usage, nil
	}
	began := time.Now()
	usage, err := s.countKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("outboxsql: count what is quarantined of each key: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.usage, q.since, q.cost = usage, began, time.Since(began)
	return usage, nil
}

func (s *Store) countKeys(ctx context.Context) (*outbox.QuarantineUsage, error) {
	rows, err := sqltx.Or(ctx, s.db).QueryContext(ctx, s.sql.quarantinedOfKeys)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	usage := outbox.NewQuarantineUsage(s.o.MaxQuarantined, s.o.MaxQuarantinedBytes)
	for rows.Next() {
		var key string
		var size int64
		if err := rows.Scan(&key, &size); err != nil {
			return nil, err
		}
		usage.Add(key, 1, size)
	}
	return usage, rows.Err()
}
