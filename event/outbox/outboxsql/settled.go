package outboxsql

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// settled is how far entries can be read on PostgreSQL. A transaction may
// commit an entry after another one has committed an entry of higher seq; who
// has read that one would never see the first. Now whoever inserts locks the
// table against nobody but its owner, before a seq is drawn and until its end,
// and PostgreSQL shows who has that lock. So we note the highest seq that is
// visible, then who has the lock, and read up to there when those have ended:
// what is not visible by then was rolled back. Transactions that write nothing
// to this table hold up nothing.
//
// One that goes on for longer than Patience is overtaken: its entries are found
// later, by a reader that starts again from 0, as a relay does now and then.
type settled struct {
	upTo      int64
	next      int64 // is upTo once the writers have ended; 0 is none
	since     time.Time
	writers   map[string]bool // that may have drawn a seq up to next
	overtaken map[string]bool
}

// look takes the highest visible seq, and then who had the lock.
func (t *settled) look(visible int64, holders map[string]bool, now time.Time, patience time.Duration) {
	for w := range t.overtaken {
		if !holders[w] {
			delete(t.overtaken, w)
		}
	}
	if t.next > 0 {
		for w := range t.writers {
			if !holders[w] {
				delete(t.writers, w)
			}
		}
		if now.Sub(t.since) >= patience {
			t.overtake()
		}
		if len(t.writers) == 0 {
			t.upTo, t.next = t.next, 0
		}
	}
	if t.next > 0 || visible <= t.upTo {
		return
	}
	t.next, t.since, t.writers = visible, now, holders
	for w := range t.overtaken {
		delete(t.writers, w)
	}
	if len(t.writers) == 0 {
		t.upTo, t.next = t.next, 0
	}
}

func (t *settled) overtake() {
	if t.overtaken == nil {
		t.overtaken = map[string]bool{}
	}
	for w := range t.writers {
		t.overtaken[w] = true
	}
	clear(t.writers)
}

// settledUpTo is the seq up to which may be read.
func (s *Store) settledUpTo() int64 {
	if s.o.Dialect != sqltx.Postgres {
		return math.MaxInt64 // one writer at a time, and visible in order
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled.upTo
}

// settle reports whether more may be read, beyond after. Where entries are
// visible that are not settled, it waits for them, for which the lease is kept.
func (s *Store) settle(ctx context.Context, after int64) (bool, error) {
	if s.o.Dialect != sqltx.Postgres {
		return false, nil
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if _, err := s.Hold(ctx); err != nil {
			return false, err
		}
		visible, upTo, err := s.look(ctx)
		if err != nil || upTo > after || visible <= after {
			return upTo > after, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false, ctx.Err()
		}
	}
}

func (s *Store) look(ctx context.Context) (visible, upTo int64, err error) {
	s.mu.Lock()
	upTo = s.settled.upTo
	s.mu.Unlock()
	if err := s.db.QueryRowContext(ctx, s.sql.visible, upTo).Scan(&visible); err != nil {
		return 0, 0, fmt.Errorf("outboxsql: read: %w", err)
	}
	holders, err := s.holders(ctx)
	if err != nil {
		return 0, 0, fmt.Errorf("outboxsql: read: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled.look(visible, holders, time.Now(), s.o.Patience)
	return visible, s.settled.upTo, nil
}

// holders are the transactions that have written to the table.
func (s *Store) holders(ctx context.Context) (map[string]bool, error) {
	rows, err := s.db.QueryContext(ctx, s.sql.holders)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	set := make(map[string]bool)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		set[name] = true
	}
	return set, rows.Err()
}
