package outboxfile

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// maxRead is the approximate number of bytes that one Read returns.
const maxRead = 8 << 20

// Read implements [outbox.Store]. It quarantines and skips a damaged entry.
func (s *Store) Read(ctx context.Context, after uint64, limit int, without ...string) ([]*outbox.Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := page{last: after}
		if err := s.file.View(func(tx *bbolt.Tx) error { p.read(tx, limit, without); return nil }); err != nil {
			return nil, wrap("read", err)
		}
		for _, b := range p.bad {
			err := s.Quarantine(ctx, b.seq, b.err.Error())
			if errors.Is(err, outbox.ErrQuarantineShare) {
				continue // it stays in place; others may have room
			}
			if errors.Is(err, outbox.ErrQuarantineFull) {
				break
			}
			if err != nil && len(p.entries) == 0 {
				return nil, err
			}
		}
		if len(p.entries) > 0 || p.end {
			return p.entries, nil
		}
		after = p.last // all of them were damaged or excluded
	}
}

// Peek implements [outbox.Store].
func (s *Store) Peek(ctx context.Context, after uint64, limit int) ([]*outbox.Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := page{last: after}
		if err := s.file.View(func(tx *bbolt.Tx) error { p.read(tx, limit, nil); return nil }); err != nil {
			return nil, wrap("peek", err)
		}
		if len(p.entries) > 0 || p.end {
			return p.entries, nil
		}
		after = p.last // all of them were damaged
	}
}

// page is the result of one transaction.
type page struct {
	entries []*outbox.Entry
	bad     []damaged
	last    uint64
	end     bool // there are no entries after last
}

type damaged struct {
	seq uint64
	err error
}

// maxPage limits the entries that one transaction reads, because pages of the file cannot be
// reused while it is open.
const maxPage = 16 << 10

func (p *page) read(tx *bbolt.Tx, limit int, without []string) {
	if p.last == ^uint64(0) {
		p.end = true
		return
	}
	size, seen := 0, 0
	c := tx.Bucket([]byte(entriesBucket)).Cursor()
	for k, v := c.Seek(keyOf(p.last + 1)); ; k, v = c.Next() {
		if k == nil {
			p.end = true
			return
		}
		if len(p.entries) >= limit || len(p.bad) >= 1000 || seen >= maxPage || size+len(v) > maxRead && len(p.entries) > 0 {
			return
		}
		seen++
		p.last = binary.BigEndian.Uint64(k)
		if len(without) > 0 && isOneOf(v, without) {
			continue
		}
		size += len(v)
		e, err := decode(k, v)
		if err != nil {
			p.bad = append(p.bad, damaged{p.last, err})
			continue
		}
		p.entries = append(p.entries, e)
	}
}

// isOneOf reports whether a record belongs to one of these orders. The record is not checked;
// damage is detected when it is decoded.
func isOneOf(rec []byte, orders []string) bool {
	order, ok := orderOf(rec)
	return ok && slices.Contains(orders, string(order))
}
