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

// maxReason is how much of a reason is kept.
const maxReason = 1024

// moving is a change that takes entries out of one bucket, and perhaps into the
// other.
type moving struct {
	seqs   []uint64
	amount // of those that were there
}

// Quarantine implements [outbox.Store].
func (s *Store) Quarantine(ctx context.Context, seq uint64, reason string) error {
	a, err := s.askAside(seq)
	if err != nil || a.n == 0 {
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
		s.mu.Lock()
		defer s.mu.Unlock()
		s.askedAside.subtract(a)
		if stored {
			s.waiting.subtract(m.amount)
			s.aside.add(m.amount)
		}
	}
	return wrap("quarantine", s.file.Update(ctx, boltfile.Op{Grow: 4096 + int(a.bytes), Apply: apply, Finish: finish}))
}

// askAside takes room in the quarantine for an entry; there is none of one that
// is not there.
func (s *Store) askAside(seq uint64) (a amount, err error) {
	err = s.file.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket([]byte(entriesBucket)).Get(keyOf(seq)); v != nil {
			a = amount{1, sizeOf(v)}
		}
		return nil
	})
	if err != nil || a.n == 0 {
		return amount{}, wrap("quarantine", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.aside.n+s.askedAside.n+a.n > s.o.MaxQuarantined || s.aside.bytes+s.askedAside.bytes+a.bytes > s.o.MaxQuarantinedBytes {
		return amount{}, outbox.ErrQuarantineFull
	}
	s.askedAside.add(a)
	return a, nil
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

// asideRecord is the record of an entry within that of the quarantine.
func asideRecord(v []byte) []byte {
	r := record.NewReader(v)
	r.Time()
	r.Skip() // the reason
	return r.SkipRest()
}

func asideSize(v []byte) int64 { return sizeOf(asideRecord(v)) }

// Requeue implements [outbox.Store]. One that cannot be decoded is quarantined
// again by the Read that meets it.
func (s *Store) Requeue(ctx context.Context, seqs ...uint64) error {
	seqs = slices.Clone(seqs) // ctx may end before they are used
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
		return wrap("requeue", err)
	}
	if err := s.ask(asked); err != nil {
		return err
	}
	m := &moving{seqs: seqs}
	finish := func(stored bool) {
		s.mu.Lock()
		s.asked.subtract(asked)
		if stored {
			s.aside.subtract(m.amount)
			s.waiting.add(m.amount)
		}
		s.mu.Unlock()
		if stored {
			s.hint()
		}
	}
	return wrap("requeue", s.file.Update(ctx, boltfile.Op{Grow: 4096*len(seqs) + int(asked.bytes), Apply: m.requeue, Finish: finish}))
}

func (m *moving) requeue(tx *bbolt.Tx) error {
	m.amount = amount{}
	entries, aside := tx.Bucket([]byte(entriesBucket)), tx.Bucket([]byte(quarantineBucket))
	for _, seq := range m.seqs {
		key := keyOf(seq)
		v := aside.Get(key)
		if v == nil {
			continue
		}
		rec := slices.Clone(asideRecord(v))
		m.add(amount{1, sizeOf(rec)})
		if err := errors.Join(aside.Delete(key), entries.Put(key, rec)); err != nil {
			return err
		}
		if aside.Sequence() >= seq { // it is not sent: see salvage
			if err := aside.SetSequence(seq - 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// Discard implements [outbox.Store].
func (s *Store) Discard(ctx context.Context, seqs ...uint64) error {
	m := &moving{seqs: slices.Clone(seqs)}
	finish := func(stored bool) {
		if stored {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.aside.subtract(m.amount)
		}
	}
	return wrap("discard", s.file.Update(ctx, boltfile.Op{Apply: m.discard, Finish: finish}))
}

func (m *moving) discard(tx *bbolt.Tx) error {
	m.amount = amount{}
	b := tx.Bucket([]byte(quarantineBucket))
	for _, seq := range m.seqs {
		key := keyOf(seq)
		v := b.Get(key)
		if v == nil {
			continue
		}
		m.add(amount{1, asideSize(v)})
		if err := b.Delete(key); err != nil {
			return err
		}
	}
	return nil
}
