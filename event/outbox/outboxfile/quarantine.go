package outboxfile

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/boltfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// maxReason is the number of bytes of a reason that are kept.
const maxReason = 1024

// moving is a change that removes entries from one bucket and may add them to the other.
type moving struct {
	seqs   []uint64
	amount // of those that existed
	moved  []kept
}

// kept is an entry in the quarantine: the key whose share it uses, and its size.
type kept struct {
	key  string
	size int64
}

func (m *moving) reset() { m.amount, m.moved = amount{}, nil }

// leaves records that an entry leaves the quarantine.
func (m *moving) leaves(rec []byte) {
	k := kept{shareOf(rec), sizeOf(rec)}
	m.add(amount{1, k.size})
	m.moved = append(m.moved, k)
}

// left releases the room of the entries that left the quarantine.
func (s *Store) left(m *moving) {
	for _, k := range m.moved {
		s.aside.Add(k.key, -1, -k.size)
	}
}

// Quarantine implements [outbox.Store].
func (s *Store) Quarantine(ctx context.Context, seq uint64, reason string) error {
	asked, err := s.askAside(seq)
	if err != nil || asked == nil {
		return err
	}
	reason = reason[:min(len(reason), maxReason)]
	now := time.Now()
	m := &moving{}
	apply := func(tx *bbolt.Tx) error {
		m.amount = amount{}
		entries, key := tx.Bucket([]byte(entriesBucket)), keyOf(seq)
		v := entries.Get(key)
		if v == nil {
			return nil
		}
		m.add(amount{1, sizeOf(v)})
		b := record.AppendString(record.AppendTime(nil, now), reason)
		b = append(b, v...)
		if err := tx.Bucket([]byte(quarantineBucket)).Put(key, b); err != nil {
			return err
		}
		return entries.Delete(key)
	}
	finish := func(stored bool) {
		if !stored || m.n == 0 { // it was sent and deleted in the meantime
			s.aside.Add(asked.key, -1, -asked.size)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting.subtract(m.amount)
	}
	return wrap("quarantine", s.file.Update(ctx, boltfile.Op{Grow: 4096 + int(asked.size), Apply: apply, Finish: finish}))
}

// askAside reserves room in the quarantine for an entry. It returns nil if the entry does not
// exist.
func (s *Store) askAside(seq uint64) (asked *kept, err error) {
	err = s.file.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket([]byte(entriesBucket)).Get(keyOf(seq)); v != nil {
			asked = &kept{shareOf(v), sizeOf(v)}
		}
		return nil
	})
	if err != nil || asked == nil {
		return nil, wrap("quarantine", err)
	}
	if err := s.aside.Take(asked.key, asked.size); err != nil {
		return nil, err
	}
	return asked, nil
}

// Quarantined implements [outbox.Store].
func (s *Store) Quarantined(_ context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	var out []outbox.Quarantined
	err := s.file.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(quarantineBucket)).Cursor()
		k, v := c.Seek(keyOf(after))
		if len(k) == 8 && binary.BigEndian.Uint64(k) == after {
			k, v = c.Next()
		}
		for size := 0; k != nil && len(out) < limit && size < maxRead; k, v = c.Next() {
			size += len(v)
			out = append(out, quarantinedOf(k, v))
		}
		return nil
	})
	return out, wrap("quarantined", err)
}

func quarantinedOf(k, v []byte) outbox.Quarantined {
	r := record.NewReader(v)
	q := outbox.Quarantined{Seq: binary.BigEndian.Uint64(k), Time: r.Time(), Reason: r.String()}
	q.Raw = r.Rest()
	if e, err := decode(k, q.Raw); err == nil {
		q.Entry = e
	}
	return q
}

// asideRecord returns the record of the entry within a record of the quarantine.
func asideRecord(v []byte) []byte {
	r := record.NewReader(v)
	r.Time()
	r.Skip() // the reason
	return r.SkipRest()
}

func asideSize(v []byte) int64 { return sizeOf(asideRecord(v)) }

// RetryQuarantined implements [outbox.Store]. An entry that cannot be decoded is quarantined again when
// Read finds it.
func (s *Store) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	seqs = slices.Compact(slices.Sorted(slices.Values(seqs))) // a copy, as ctx may end before they are used
	var asked amount
	err := s.file.View(func(tx *bbolt.Tx) error {
		for _, seq := range seqs {
			if v := tx.Bucket([]byte(quarantineBucket)).Get(keyOf(seq)); v != nil {
				asked.add(amount{1, asideSize(v)})
			}
		}
		return nil
	})
	if err != nil {
		return wrap("retry quarantined", err)
	}
	if err := s.ask(asked); err != nil {
		return err
	}
	m := &moving{seqs: seqs}
	finish := func(stored bool) {
		s.mu.Lock()
		s.asked.subtract(asked)
		if stored {
			s.waiting.add(m.amount)
		}
		s.mu.Unlock()
		if stored {
			s.left(m)
			s.hint()
		}
	}
	return wrap("retry quarantined", s.file.Update(ctx, boltfile.Op{Grow: 4096*len(seqs) + int(asked.bytes), Apply: m.retry, Finish: finish}))
}

func (m *moving) retry(tx *bbolt.Tx) error {
	m.reset()
	entries, aside := tx.Bucket([]byte(entriesBucket)), tx.Bucket([]byte(quarantineBucket))
	for _, seq := range m.seqs {
		key := keyOf(seq)
		v := aside.Get(key)
		if v == nil {
			continue
		}
		rec := slices.Clone(asideRecord(v))
		m.leaves(rec)
		if err := errors.Join(aside.Delete(key), entries.Put(key, rec)); err != nil {
			return err
		}
		if aside.Sequence() >= seq { // it is not sent yet: see salvage
			if err := aside.SetSequence(seq - 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// DeleteQuarantined implements [outbox.Store].
func (s *Store) DeleteQuarantined(ctx context.Context, seqs ...uint64) error {
	m := &moving{seqs: slices.Clone(seqs)}
	finish := func(stored bool) {
		if stored {
			s.left(m)
		}
	}
	return wrap("delete quarantined", s.file.Update(ctx, boltfile.Op{Apply: m.remove, Finish: finish}))
}

func (m *moving) remove(tx *bbolt.Tx) error {
	m.reset()
	b := tx.Bucket([]byte(quarantineBucket))
	for _, seq := range m.seqs {
		key := keyOf(seq)
		v := b.Get(key)
		if v == nil {
			continue
		}
		m.leaves(asideRecord(v))
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
