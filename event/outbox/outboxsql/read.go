package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Read implements [outbox.Store] for the process that holds the lease; it takes the lease if
// it is free. On PostgreSQL it waits, until ctx ends, for entries whose order is not final
// yet, because an earlier transaction that has appended is still open; see Patience.
func (s *Store) Read(ctx context.Context, after uint64, limit int, without ...string) ([]*outbox.Entry, error) {
	query, from, args := s.sql.read, int64(after), []any{limit}
	if len(without) > 0 {
		query = s.sql.readWithout(len(without))
		for _, order := range without {
			args = append(args, clean(order))
		}
	}
	for {
		if err := s.usable(); err != nil {
			return nil, err
		}
		if _, err := s.Hold(ctx); err != nil {
			return nil, err
		}
		settled := s.settledUpTo()
		p, err := s.page(ctx, query, from, settled, args...)
		if err != nil {
			return nil, err
		}
		switch {
		case len(p.entries) > 0:
			return p.entries, nil
		case len(p.bad) > 0: // all entries of the page were damaged
			from = p.last
			continue
		}
		more, err := s.settle(ctx, max(from, settled))
		if err != nil || !more {
			return nil, err
		}
	}
}

// Peek implements [outbox.Store]. It also returns entries whose order is not final yet.
func (s *Store) Peek(ctx context.Context, after uint64, limit int) ([]*outbox.Entry, error) {
	for from := int64(after); ; {
		if err := s.usable(); err != nil {
			return nil, err
		}
		rows, err := s.db.QueryContext(ctx, s.sql.read, from, int64(math.MaxInt64), limit)
		if err != nil {
			return nil, fmt.Errorf("outboxsql: peek: %w", err)
		}
		p, err := scan(rows)
		if err != nil {
			return nil, fmt.Errorf("outboxsql: peek: %w", err)
		}
		if len(p.entries) > 0 || len(p.bad) == 0 {
			return p.entries, nil
		}
		from = p.last // all of them were damaged
	}
}

// page is the result of one query.
type page struct {
	entries []*outbox.Entry
	bad     map[int64]error // errors of entries that cannot be decoded
	last    int64
}

// page reads entries from a seq on, up to the last settled one.
func (s *Store) page(ctx context.Context, query string, from, settled int64, args ...any) (p page, err error) {
	if from >= settled {
		return p, nil
	}
	rows, err := s.db.QueryContext(ctx, query, append([]any{from, settled}, args...)...)
	if err != nil {
		return p, fmt.Errorf("outboxsql: read: %w", err)
	}
	if p, err = scan(rows); err != nil {
		return p, fmt.Errorf("outboxsql: read: %w", err)
	}
	for seq, why := range p.bad {
		err := s.Quarantine(ctx, uint64(seq), why.Error())
		if errors.Is(err, outbox.ErrQuarantineShare) {
			continue // it stays in place; others may have room
		}
		if errors.Is(err, outbox.ErrQuarantineFull) {
			break // they stay in place
		}
		if err != nil && len(p.entries) == 0 {
			return p, err
		}
	}
	return p, nil
}

func scan(rows *sql.Rows) (p page, err error) {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		e, bad, err := scanEntry(rows)
		if err != nil {
			return p, err
		}
		p.last = int64(e.Seq)
		if bad != nil {
			if p.bad == nil {
				p.bad = make(map[int64]error)
			}
			p.bad[p.last] = fmt.Errorf("the entry cannot be decoded: %w", bad)
			continue
		}
		p.entries = append(p.entries, e)
	}
	return p, rows.Err()
}

// scanEntry reads the columns of an entry, and additional columns of the statement. bad is the
// reason if the entry cannot be decoded.
func scanEntry(rows *sql.Rows, more ...any) (e *outbox.Entry, bad, err error) {
	var (
		seq, expiry, millis int64
		qos                 int16
		headers             string
	)
	e = &outbox.Entry{}
	columns := append([]any{
		&seq, &e.ID, &e.Key, &e.Topic, &e.Payload, &qos, &e.Retain, &e.ContentType, &e.ResponseTopic,
		&e.CorrelationData, &expiry, &headers, &millis,
	}, more...)
	if bad = rows.Scan(columns...); bad != nil { // SQLite accepts text in a column of numbers
		for i := 1; i < len(columns)-len(more); i++ {
			columns[i] = new(any)
		}
		err = rows.Scan(columns...)
		return &outbox.Entry{Seq: uint64(seq)}, bad, err
	}
	e.Seq, e.QoS, e.Expiry, e.Accepted = uint64(seq), byte(qos), time.Duration(expiry), time.UnixMilli(millis)
	if qos < 0 || qos > 2 {
		bad = fmt.Errorf("QoS %d", qos)
	}
	return e, errors.Join(bad, e.Validate(), readBesides(e, headers)), nil
}

// settled tracks how far entries can be read on PostgreSQL. A transaction may commit an entry
// after another transaction has committed an entry with a higher seq; a reader that has passed
// the higher one would miss the lower one. Every insert therefore takes, before it draws a seq
// and until its transaction ends, a lock on the table that conflicts with nothing relevant but
// is visible in pg_locks. The reader notes the highest visible seq, then the holders of the
// lock, and reads up to that seq once these transactions have ended: lower entries that are
// still invisible were rolled back. Transactions that do not write to this table delay
// nothing.
//
// A transaction that lasts longer than Patience is overtaken: its entries are found later, by
// a reader that starts again from 0, as a relay does from time to time.
type settled struct {
	upTo      int64
	next      int64 // becomes upTo once the writers have ended; 0 if there is none
	since     time.Time
	writers   map[string]bool // transactions that may have drawn a seq up to next
	overtaken map[string]bool
}

// look notes the highest visible seq, and the transactions that hold the lock.
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

// settledUpTo returns the seq up to which entries may be read.
func (s *Store) settledUpTo() int64 {
	if s.o.Dialect != sqltx.Postgres {
		return math.MaxInt64 // SQLite has one writer at a time, so entries become visible in order
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settled.upTo
}

// settle reports whether entries after the given seq may be read. If entries are visible but
// not settled, it waits for them and keeps the lease.
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

// holders returns the transactions that have written to the table.
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
