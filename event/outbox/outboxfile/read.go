package outboxfile

import (
	"context"
	"encoding/binary"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/boltfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// maxRead is about how many bytes one Read returns.
const maxRead = 8 << 20

// Read implements [outbox.Store]. An entry that is damaged is quarantined and
// left out.
func (s *Store) Read(ctx context.Context, after uint64, limit int) ([]*outbox.Entry, error) {
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p := page{last: after}
		if err := s.file.View(func(tx *bbolt.Tx) error { p.read(tx, limit); return nil }); err != nil {
			return nil, wrap("read", err)
		}
		for _, b := range p.bad {
			if err := s.Quarantine(ctx, b.seq, b.err.Error()); err != nil && len(p.entries) == 0 {
				return nil, err
			}
		}
		if len(p.entries) > 0 || len(p.bad) == 0 {
			return p.entries, nil
		}
		after = p.last // all of them were damaged
	}
}

// page is what one Read found.
type page struct {
	entries []*outbox.Entry
	bad     []damaged
	last    uint64
}

type damaged struct {
	seq uint64
	err error
}

func (p *page) read(tx *bbolt.Tx, limit int) {
	size := 0
	if p.last == ^uint64(0) {
		return
	}
	c := tx.Bucket([]byte(entriesBucket)).Cursor()
	for k, v := c.Seek(keyOf(p.last + 1)); k != nil && len(p.entries) < limit && len(p.bad) < 1000; k, v = c.Next() {
		if size += len(v); size > maxRead && len(p.entries) > 0 {
			return
		}
		p.last = binary.BigEndian.Uint64(k)
		e, err := decode(k, v)
		if err != nil {
			p.bad = append(p.bad, damaged{p.last, err})
			continue
		}
		p.entries = append(p.entries, e)
	}
}

// Quarantined is an entry that can never be sent.
type Quarantined struct {
	Seq    uint64
	Time   time.Time
	Reason string
	// Entry is nil when it cannot be decoded.
	Entry *outbox.Entry
	// Raw is the record as it is in the file.
	Raw []byte
}

// maxReason is how much of a reason is kept.
const maxReason = 1024

// Quarantine implements [outbox.Store]. The entry stays in the file until
// DropQuarantined, and does not count for the bounds.
func (s *Store) Quarantine(ctx context.Context, seq uint64, reason string) error {
	reason = reason[:min(len(reason), maxReason)]
	var n int
	var size int64
	now := time.Now()
	apply := func(tx *bbolt.Tx) error {
		n = 0
		entries, key := tx.Bucket([]byte(entriesBucket)), keyOf(seq)
		v := entries.Get(key)
		if v == nil {
			return nil
		}
		n, size = 1, sizeOf(v)
		b := record.AppendString(record.AppendTime(nil, now), reason)
		b = append(b, v...)
		if err := tx.Bucket([]byte(quarantineBucket)).Put(key, b); err != nil {
			return err
		}
		return entries.Delete(key)
	}
	finish := func(stored bool) {
		if stored {
			s.removed(n, size*int64(n), n)
		}
	}
	return wrap("quarantine", s.file.Update(ctx, boltfile.Op{Grow: 4096, Apply: apply, Finish: finish}))
}

// Quarantined returns up to limit entries with Seq > after that can never be
// sent, for an operator. To have one sent after all, append its Entry again and
// drop it here.
func (s *Store) Quarantined(_ context.Context, after uint64, limit int) ([]Quarantined, error) {
	var out []Quarantined
	err := s.file.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(quarantineBucket)).Cursor()
		k, v := c.Seek(keyOf(after))
		if len(k) == 8 && binary.BigEndian.Uint64(k) == after {
			k, v = c.Next()
		}
		for ; k != nil && len(out) < limit; k, v = c.Next() {
			out = append(out, quarantinedOf(k, v))
		}
		return nil
	})
	return out, wrap("quarantined", err)
}

func quarantinedOf(k, v []byte) Quarantined {
	r := record.NewReader(v)
	q := Quarantined{Seq: binary.BigEndian.Uint64(k), Time: r.Time(), Reason: r.String()}
	q.Raw = r.Rest()
	if e, err := decode(k, q.Raw); err == nil {
		q.Entry = e
	}
	return q
}

// DropQuarantined removes quarantined entries for good; it is no error when
// they are gone already.
func (s *Store) DropQuarantined(ctx context.Context, seqs ...uint64) error {
	n := 0
	apply := func(tx *bbolt.Tx) error {
		n = 0
		b := tx.Bucket([]byte(quarantineBucket))
		for _, seq := range seqs {
			key := keyOf(seq)
			if b.Get(key) == nil {
				continue
			}
			n++
			if err := b.Delete(key); err != nil {
				return err
			}
		}
		return nil
	}
	finish := func(stored bool) {
		if stored {
			s.removed(0, 0, -n)
		}
	}
	return wrap("drop quarantined", s.file.Update(ctx, boltfile.Op{Apply: apply, Finish: finish}))
}
