package outboxfile

import (
	"time"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/due"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/record"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// appending is the change made by an Append.
type appending struct {
	amount        // of the waiting entries
	later  amount // of the delayed ones
	recs   [][]byte
	dues   []int64 // 0 for a waiting entry
	seqs   []uint64
	now    time.Time
	grow   int
}

func newAppending(entries []*outbox.Entry, now time.Time) *appending {
	n := len(entries)
	a := &appending{recs: make([][]byte, n), dues: make([]int64, n), seqs: make([]uint64, n), now: now}
	for i, e := range entries {
		a.recs[i] = encode(e, now)
		a.grow += len(a.recs[i])
		one := amount{1, sizeOf(a.recs[i])}
		if e.IsDelayed(now) {
			a.dues[i] = due.Milli(e.Due)
			a.later.add(one)
		} else {
			a.add(one)
		}
	}
	return a
}

func (a *appending) apply(tx *bbolt.Tx) error {
	entries, delayed := tx.Bucket([]byte(entriesBucket)), tx.Bucket([]byte(delayedBucket))
	entries.FillPercent = 1 // numbers are ascending: nothing is inserted in between
	for i, rec := range a.recs {
		b := entries
		if a.dues[i] != 0 {
			b = delayed
		}
		seq, err := b.NextSequence()
		if err != nil {
			return err
		}
		key := keyOf(seq)
		if a.dues[i] != 0 {
			k := newDelayedKey(a.dues[i], seq)
			key = k[:]
		}
		record.Seal(key, rec)
		if err := b.Put(key, rec); err != nil {
			return err
		}
		a.seqs[i] = seq
	}
	return nil
}
