package outboxsql

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// Append implements [outbox.Store]. The entries are durable when the
// transaction commits: that of ctx, or one of its own.
func (s *Store) Append(ctx context.Context, entries ...*outbox.Entry) error {
	if err := s.usable(); err != nil {
		return err
	}
	var bytes int64
	for _, e := range entries {
		if e.ID == "" || e.Topic == "" {
			return errors.New("outboxsql: an entry without id or topic")
		}
		bytes += int64(e.Size())
	}
	if len(entries) == 0 {
		return nil
	}
	if err := s.room(ctx, len(entries), bytes); err != nil {
		return err
	}
	own := sqltx.From(ctx) == nil
	now := time.Now().Truncate(time.Millisecond)
	err := sqltx.Run(ctx, s.db, func(ctx context.Context) error {
		if s.sql.enter != "" {
			if _, err := sqltx.Or(ctx, s.db).ExecContext(ctx, s.sql.enter); err != nil {
				return err
			}
		}
		for _, e := range entries {
			if err := s.insert(ctx, e, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.stale()
		return fmt.Errorf("outboxsql: append: %w", err)
	}
	if own {
		s.hint()
	}
	return nil
}

func (s *Store) insert(ctx context.Context, e *outbox.Entry, now time.Time) error {
	headers, err := json.Marshal(pairs(e.Headers))
	if err != nil {
		return err
	}
	var seq int64
	err = sqltx.Or(ctx, s.db).QueryRowContext(ctx, s.sql.insert,
		e.ID, e.Key, e.Topic, notNil(e.Payload), int16(e.QoS), e.Retain, e.ContentType, e.ResponseTopic,
		notNil(e.CorrelationData), int64(e.Expiry), string(headers), now.UnixMilli(), int64(e.Size())).Scan(&seq)
	if err != nil {
		return err
	}
	e.Seq, e.Accepted = uint64(seq), now
	return nil
}

// pairs keep the order of headers, and keys that occur again.
func pairs(headers []message.Header) [][2]string {
	p := make([][2]string, len(headers))
	for i, h := range headers {
		p[i] = [2]string{h.Key, h.Value}
	}
	return p
}

// notNil is for columns that know no NULL.
func notNil(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}
