package outboxsql

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Read implements [outbox.Store] for the process that holds the lease, which it
// takes when it is free; for others there is nothing to read. On PostgreSQL it
// waits, within ctx, for entries that cannot be put in order yet, because a
// transaction that appended before them is under way; see Patience.
func (s *Store) Read(ctx context.Context, after uint64, limit int) ([]*outbox.Entry, error) {
	if err := s.usable(); err != nil {
		return nil, err
	}
	held, err := s.lease(ctx)
	if err != nil || !held {
		return nil, err
	}
	upTo, err := s.settle(ctx, int64(after))
	if err != nil || upTo <= int64(after) {
		return nil, err
	}
	rows, err := s.db.QueryContext(ctx, s.sql.read, int64(after), upTo, limit)
	if err != nil {
		return nil, fmt.Errorf("outboxsql: read: %w", err)
	}
	entries, bad, err := scan(rows)
	if err != nil {
		return nil, fmt.Errorf("outboxsql: read: %w", err)
	}
	for seq, why := range bad {
		if err := s.Quarantine(ctx, seq, why.Error()); err != nil {
			return nil, err
		}
	}
	if len(entries) == 0 && len(bad) > 0 {
		return s.Read(ctx, after, limit)
	}
	return entries, nil
}

// scan gives the entries, and by seq why others cannot be decoded.
func scan(rows *sql.Rows) (entries []*outbox.Entry, bad map[uint64]error, err error) {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var (
			e                   outbox.Entry
			seq, expiry, millis int64
			qos                 int16
			headers             string
		)
		if err := rows.Scan(&seq, &e.ID, &e.Key, &e.Topic, &e.Payload, &qos, &e.Retain, &e.ContentType, &e.ResponseTopic,
			&e.CorrelationData, &expiry, &headers, &millis); err != nil {
			return nil, nil, err
		}
		e.Seq, e.QoS, e.Expiry, e.Accepted = uint64(seq), byte(qos), time.Duration(expiry), time.UnixMilli(millis)
		if err = readBesides(&e, headers); err != nil {
			if bad == nil {
				bad = make(map[uint64]error)
			}
			bad[e.Seq] = fmt.Errorf("headers cannot be decoded: %w", err)
			continue
		}
		entries = append(entries, &e)
	}
	return entries, bad, rows.Err()
}

// lease reports whether we are the one that relays.
func (s *Store) lease(ctx context.Context) (bool, error) {
	now := time.Now()
	s.mu.Lock()
	fresh := s.leased.Sub(now) > s.o.Lease*2/3
	s.mu.Unlock()
	if fresh {
		return true, nil
	}
	result, err := s.db.ExecContext(ctx, s.sql.claim, s.o.Owner, s.o.Lease.Milliseconds())
	if err != nil {
		return false, fmt.Errorf("outboxsql: lease: %w", err)
	}
	n, err := result.RowsAffected()
	if err != nil {
		return false, fmt.Errorf("outboxsql: lease: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n == 0 {
		s.leased = time.Time{}
		return false, nil
	}
	s.leased = now.Add(s.o.Lease)
	return true, nil
}
