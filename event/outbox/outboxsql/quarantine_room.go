package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/tablesize"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// quarantineRoom knows how much is quarantined: as counted, and followed since then.
type quarantineRoom struct {
	mu      sync.Mutex
	held    tablesize.Amount
	counted time.Time
	// usage is what each key has, counted within cost; nil is not known. It is asked
	// for only while more than half of a bound is used up.
	usage *outbox.QuarantineUsage
	since time.Time
	cost  time.Duration
}

// roomAge is how old that may be. The count reads an index of what is
// quarantined, which has a bound.
const roomAge = 10 * time.Second

// roomShare: counting what each key has takes one part of this of the time at most.
const roomShare = 20

func (q *quarantineRoom) add(rows, bytes int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.held.Rows += rows
	q.held.Bytes += bytes
	if rows < 0 { // which keys have room again is counted when it matters
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

// askQuarantine takes room in the quarantine for an entry; of one that is not there it
// takes none. What is returned gives it back.
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
		return s.room.note(key, size), nil // everybody has room
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

// note notes an entry that has room, where it is known what each key has. What is
// returned takes that back.
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

// ofKeys returns what each key has.
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
