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
// has read that one would never see the first. So every writer takes a shared
// lock before it draws a seq and keeps it until its end, and we read no further
// than a seq whose writers have ended: every entry up to there is visible, or
// rolled back. Transactions that write nothing here hold up nothing.
type settled struct {
	upTo    int64
	next    int64           // is upTo once writers have ended; 0 is none
	writers map[string]bool // that may have drawn up to next
}

// recheck is when an unsettled entry is looked at again.
const recheck = 10 * time.Millisecond

// settle gives the seq up to which may be read. SQLite has one writer at a
// time, whose entries are visible in order.
func (s *Store) settle(ctx context.Context, after uint64) (int64, error) {
	if s.o.Dialect != sqltx.Postgres {
		return math.MaxInt64, nil
	}
	var drawn int64 // first, so that who drew less is a writer still, or has ended
	if err := s.db.QueryRowContext(ctx, s.sql.drawn).Scan(&drawn); err != nil {
		return 0, fmt.Errorf("outboxsql: read: %w", err)
	}
	writers, err := s.writers(ctx)
	if err != nil {
		return 0, fmt.Errorf("outboxsql: read: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settled.look(drawn, writers)
	if s.settled.next > int64(after) && !s.closed {
		s.again.Reset(recheck)
	}
	return s.settled.upTo, nil
}

func (t *settled) look(drawn int64, writers map[string]bool) {
	if t.next > 0 {
		for w := range t.writers {
			if !writers[w] {
				delete(t.writers, w)
			}
		}
		if len(t.writers) == 0 {
			t.upTo, t.next = t.next, 0
		}
	}
	if t.next > 0 || drawn <= t.upTo {
		return
	}
	if len(writers) == 0 {
		t.upTo = drawn
		return
	}
	t.next, t.writers = drawn, writers
}

// writers are the transactions that hold the lock.
func (s *Store) writers(ctx context.Context) (map[string]bool, error) {
	rows, err := s.db.QueryContext(ctx, s.sql.writers)
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
