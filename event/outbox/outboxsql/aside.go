package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/fill"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// aside knows how much is quarantined: as counted, and followed since then.
type aside struct {
	mu      sync.Mutex
	held    fill.Amount
	counted time.Time
	// usage is what each key has, counted within cost; nil is not known. It is asked
	// for only while more than half of a bound is used up.
	usage *outbox.QuarantineUsage
	since time.Time
	cost  time.Duration
}

// asideAge is how old that may be. The count reads an index of what is
// quarantined, which has a bound.
const asideAge = 10 * time.Second

// asideShare: counting what each key has takes one part of this of the time at most.
const asideShare = 20

func (a *aside) add(rows, bytes int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held.Rows += rows
	a.held.Bytes += bytes
	if rows < 0 { // which keys have room again is counted when it matters
		a.usage = nil
	}
}

func (a *aside) now(ctx context.Context, s *Store) (fill.Amount, error) {
	a.mu.Lock()
	held, fresh := a.held, !a.counted.IsZero() && time.Since(a.counted) < asideAge
	a.mu.Unlock()
	if fresh {
		return held, nil
	}
	err := sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.countAside).Scan(&held.Rows, &held.Bytes)
	if err != nil {
		return held, fmt.Errorf("outboxsql: count what is quarantined: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held, a.counted = held, time.Now()
	return held, nil
}

// askAside takes room in the quarantine for an entry; of one that is not there it
// takes none. What is returned gives it back.
func (s *Store) askAside(ctx context.Context, seq int64) (giveBack func(), err error) {
	held, err := s.aside.now(ctx, s)
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
		return s.aside.note(key, size), nil // everybody has room
	}
	usage, err := s.aside.ofKeys(ctx, s)
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
func (a *aside) note(key string, size int64) (takeBack func()) {
	a.mu.Lock()
	usage := a.usage
	a.mu.Unlock()
	if usage == nil {
		return func() {}
	}
	usage.Add(key, 1, size)
	return func() { usage.Add(key, -1, -size) }
}

// ofKeys returns what each key has.
func (a *aside) ofKeys(ctx context.Context, s *Store) (*outbox.QuarantineUsage, error) {
	a.mu.Lock()
	usage := a.usage
	fresh := usage != nil && time.Since(a.since) < max(asideAge, asideShare*a.cost)
	a.mu.Unlock()
	if fresh {
		return usage, nil
	}
	began := time.Now()
	usage, err := s.countKeys(ctx)
	if err != nil {
		return nil, fmt.Errorf("outboxsql: count what is quarantined of each key: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.usage, a.since, a.cost = usage, began, time.Since(began)
	return usage, nil
}

func (s *Store) countKeys(ctx context.Context) (*outbox.QuarantineUsage, error) {
	rows, err := sqltx.Or(ctx, s.db).QueryContext(ctx, s.sql.asideOfKeys)
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
