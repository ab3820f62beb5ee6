package outboxfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/maphash"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/boltfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/due"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// delayedBucket has the delayed entries, in the order in which they are due: a [delayedKey] and
// the record, which is sealed with it.
const delayedBucket = "delayed"

// delayedKey is when an entry is due, in milliseconds since 1970, and a number.
type delayedKey [16]byte

func newDelayedKey(due int64, n uint64) (k delayedKey) {
	binary.BigEndian.PutUint64(k[:8], uint64(due))
	binary.BigEndian.PutUint64(k[8:], n)
	return k
}

func (k delayedKey) due() int64     { return int64(binary.BigEndian.Uint64(k[:8])) }
func (k delayedKey) number() uint64 { return binary.BigEndian.Uint64(k[8:]) }

// delayedUsage is what is delayed: its amount, and the keys of each id, by its hash, so that
// Cancel need not read all entries. It takes about 100 bytes for each.
type delayedUsage struct {
	amount
	asked amount // of pending appends
	keys  map[uint64][]delayedKey
	seed  maphash.Seed
}

func newDelayedUsage() delayedUsage {
	return delayedUsage{keys: make(map[uint64][]delayedKey), seed: maphash.MakeSeed()}
}

func (u *delayedUsage) put(id []byte, k delayedKey, size int64) {
	u.add(amount{1, size})
	h := maphash.Bytes(u.seed, id)
	u.keys[h] = append(u.keys[h], k)
}

func (u *delayedUsage) remove(id []byte, k delayedKey, size int64) {
	u.subtract(amount{1, size})
	h := maphash.Bytes(u.seed, id)
	if left := slices.DeleteFunc(u.keys[h], func(other delayedKey) bool { return other == k }); len(left) > 0 {
		u.keys[h] = left
	} else {
		delete(u.keys, h)
	}
}

// countDelayed adds up the delayed entries in the file, and reports the highest number that
// they have.
func (s *Store) countDelayed(tx *bbolt.Tx) (highest uint64, err error) {
	err = tx.Bucket([]byte(delayedBucket)).ForEach(func(k, v []byte) error {
		key := delayedKey(k)
		s.delayed.put(idOf(v), key, sizeOf(v))
		highest = max(highest, key.number())
		return nil
	})
	return highest, err
}

// askDelayed reserves room within the bounds of the delayed entries.
func (s *Store) askDelayed(a amount) error {
	if a.n == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d := &s.delayed
	if d.n+d.asked.n+a.n > s.o.MaxDelayed || d.bytes+d.asked.bytes+a.bytes > s.o.MaxDelayedBytes {
		return outbox.ErrDelayedFull
	}
	d.asked.add(a)
	return nil
}

func (s *Store) answeredDelayed(a *appending, stored bool) {
	if a.later.n == 0 {
		return
	}
	s.mu.Lock()
	s.delayed.asked.subtract(a.later)
	for i, due := range a.dues {
		if stored && due != 0 {
			s.delayed.put(idOf(a.recs[i]), newDelayedKey(due, a.seqs[i]), sizeOf(a.recs[i]))
		}
	}
	s.mu.Unlock()
	if stored {
		hint(s.delays)
	}
}

// leaving is a change that removes delayed entries, and may make waiting ones of them.
type leaving struct {
	keys   []delayedKey
	wanted map[string]bool // the ids to cancel; nil moves the entries
	now    time.Time
	gone   []gone
}

// gone is a delayed entry that was removed.
type gone struct {
	key  delayedKey
	id   []byte
	size int64
}

func (l *leaving) apply(tx *bbolt.Tx) error {
	l.gone = nil
	from, to := tx.Bucket([]byte(delayedBucket)), tx.Bucket([]byte(entriesBucket))
	for _, k := range l.keys {
		v := from.Get(k[:])
		if v == nil || l.wanted != nil && !l.wanted[string(idOf(v))] {
			continue
		}
		l.gone = append(l.gone, gone{k, bytes.Clone(idOf(v)), sizeOf(v)})
		if l.wanted == nil {
			if err := l.join(to, k, bytes.Clone(v)); err != nil {
				return err
			}
		}
		if err := from.Delete(k[:]); err != nil {
			return err
		}
	}
	return nil
}

// join appends a record to the waiting ones. A damaged one stays so, and Read quarantines it.
func (l *leaving) join(to *bbolt.Bucket, was delayedKey, rec []byte) error {
	seq, err := to.NextSequence()
	if err != nil {
		return err
	}
	key := keyOf(seq)
	if _, err := decode(was[:], rec); err == nil {
		binary.BigEndian.PutUint64(rec[record.Head+4:], uint64(l.now.UnixNano()))
		record.Seal(key, rec)
	}
	return to.Put(key, rec)
}

func (l *leaving) amount() (a amount) {
	for _, g := range l.gone {
		a.add(amount{1, g.size})
	}
	return a
}

// Release implements [outbox.Delayer].
func (s *Store) Release(ctx context.Context, now time.Time, limit int) (int, time.Time, error) {
	keys, asked, next, err := s.movable(now, limit)
	if err != nil || len(keys) == 0 {
		return 0, next, wrap("release", err)
	}
	if s.ask(asked) != nil {
		return 0, next, nil //nolint:nilerr // new entries have taken the room: it is tried again
	}
	l := &leaving{keys: keys, now: now}
	err = s.file.Update(ctx, boltfile.Op{Grow: 4096 + int(asked.bytes), Apply: l.apply, Finish: func(stored bool) {
		s.mu.Lock()
		s.asked.subtract(asked)
		if stored {
			s.waiting.add(l.amount())
		}
		s.mu.Unlock()
		s.depart(l, stored)
		if stored && len(l.gone) > 0 {
			s.hint()
		}
	}})
	if err != nil {
		return 0, next, wrap("release", err)
	}
	return len(l.gone), next, nil
}

// movable returns the delayed entries that may join the waiting ones now, and when the next one
// is due.
func (s *Store) movable(now time.Time, limit int) (keys []delayedKey, a amount, next time.Time, err error) {
	s.mu.Lock()
	room := due.Room{
		Entries: s.waiting.n + s.asked.n, MaxEntries: s.o.MaxEntries,
		Bytes: s.waiting.bytes + s.asked.bytes, MaxBytes: s.o.MaxBytes,
	}
	s.mu.Unlock()
	var first []due.First
	err = s.file.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(delayedBucket)).Cursor()
		for k, v := c.First(); k != nil && len(first) <= limit; k, v = c.Next() {
			key := delayedKey(k)
			keys = append(keys, key)
			first = append(first, due.First{Due: key.due(), Size: sizeOf(v)})
			if key.due() > now.UnixMilli() {
				break
			}
		}
		return nil
	})
	n, next := room.Movable(first, now, limit)
	for _, f := range first[:n] {
		a.add(amount{1, f.Size})
	}
	return keys[:n], a, next, err
}

// depart takes what left out of what is delayed.
func (s *Store) depart(l *leaving, stored bool) {
	if !stored {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range l.gone {
		s.delayed.remove(g.id, g.key, g.size)
	}
}

// Cancel implements [outbox.Delayer]. It works even if the disk is full.
func (s *Store) Cancel(ctx context.Context, ids ...string) (int, error) {
	l := &leaving{wanted: make(map[string]bool, len(ids))}
	s.mu.Lock()
	for _, id := range ids {
		l.wanted[id] = true
		l.keys = append(l.keys, s.delayed.keys[maphash.String(s.delayed.seed, id)]...)
	}
	s.mu.Unlock()
	err := s.file.Update(ctx, boltfile.Op{Apply: l.apply, Finish: func(stored bool) { s.depart(l, stored) }})
	if err != nil {
		return 0, wrap("cancel", err)
	}
	return len(l.gone), nil
}

// Delayed implements [outbox.Delayer].
func (s *Store) Delayed(_ context.Context, after *outbox.Entry, limit int) (list []*outbox.Entry, err error) {
	err = s.file.View(func(tx *bbolt.Tx) error {
		c := tx.Bucket([]byte(delayedBucket)).Cursor()
		k, v := c.First()
		if after != nil {
			from := newDelayedKey(due.Milli(after.Due), after.Seq)
			if k, v = c.Seek(from[:]); bytes.Equal(k, from[:]) {
				k, v = c.Next()
			}
		}
		for ; k != nil && len(list) < limit; k, v = c.Next() {
			if e, err := decode(k, v); err == nil {
				list = append(list, e)
			}
		}
		return nil
	})
	return list, wrap("delayed", err)
}

// DelayedChanged implements [outbox.Delayer].
func (s *Store) DelayedChanged() <-chan struct{} { return s.delays }
