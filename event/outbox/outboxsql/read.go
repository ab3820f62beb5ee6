package outboxsql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// Read implements [outbox.Store] for the process that holds the lease, which it
// takes when it is free. On PostgreSQL it waits, within ctx, for entries that
// cannot be put in order yet, because a transaction that appended before them is
// under way; see Patience.
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
		case len(p.bad) > 0: // all of them were damaged
			from = p.last
			continue
		}
		more, err := s.settle(ctx, max(from, settled))
		if err != nil || !more {
			return nil, err
		}
	}
}

// page is what one query found.
type page struct {
	entries []*outbox.Entry
	bad     map[int64]error // why others cannot be decoded
	last    int64
}

// page reads what is behind from, up to what is settled.
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
			continue // it stays where it is; others may have room
		}
		if errors.Is(err, outbox.ErrQuarantineFull) {
			break // they stay where they are
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

// scanEntry reads the columns of an entry, and those that the statement has
// behind them; bad is why the entry cannot be decoded.
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
	if bad = rows.Scan(columns...); bad != nil { // SQLite keeps a text where a number should be
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
