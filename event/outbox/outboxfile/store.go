// Package outboxfile implements an outbox in a single file, a bbolt database, for services
// without a database of their own.
//
// Append returns once its entries are on disk (fsync). Concurrent writers share one fsync, so
// with a single writer an Append costs a commit, and with many a fraction of one. Accepted
// entries survive a crash of the process, and a power failure if disk and file system keep
// what they acknowledged.
//
// The file grows with the backlog and reuses its space, but never shrinks. It may be about
// twice as large as MaxBytes if entries are deleted roughly in the order in which they were
// appended. If a few of many entries appended together remain, such as those of refused keys,
// a page is reused only once three quarters of it are empty. Then the file may be five times
// as large as MaxBytes, plus some hundred bytes for each entry.
package outboxfile

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/boltfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

var (
	// ErrLocked is the error of Open for a file that is already open, in this or another
	// process.
	ErrLocked = boltfile.ErrLocked
	// ErrCorrupt is the error of Open for a damaged file; see [Options.OnCorrupt]. All methods
	// return it if damage is detected while the file is in use: close the store and open it
	// again.
	ErrCorrupt = boltfile.ErrCorrupt
)

// Recovery describes the recovery of a damaged file.
type Recovery = boltfile.Recovery

// Options configures a [Store]. The zero value means the defaults.
type Options struct {
	// MaxEntries is the maximum number of waiting entries; default 1,000,000.
	MaxEntries int
	// MaxBytes is the maximum of their total [outbox.Entry.Size]; default 1 GiB.
	MaxBytes int64
	// MaxQuarantined is the maximum number of quarantined entries, and MaxQuarantinedBytes the
	// maximum of their total [outbox.Entry.Size]; defaults 10,000 and 64 MiB. Each key is
	// limited to a share of both, see [outbox.QuarantineUsage].
	MaxQuarantined      int
	MaxQuarantinedBytes int64
	// MaxDelayed is the maximum number of delayed entries, and MaxDelayedBytes the maximum of
	// their total [outbox.Entry.Size]; defaults 100,000 and 128 MiB. They do not count for the
	// limits of waiting entries. Each takes about 100 bytes of memory.
	MaxDelayed      int
	MaxDelayedBytes int64
	// LockTimeout is how long Open waits for another process to close the file; default 1 s.
	LockTimeout time.Duration
	// OnCorrupt, if set, permits Open to recover a damaged file, and is called with the
	// result. The damaged file is renamed to <path>.corrupt-<time>, and all intact entries are
	// copied to a new file, possibly including entries that had been sent and deleted. Entries
	// that are not intact are lost to the service, so report this to an operator. If OnCorrupt
	// is nil, Open returns [ErrCorrupt] and does not change the file.
	OnCorrupt func(Recovery)
}

const (
	entriesBucket    = "entries"    // number: record
	quarantineBucket = "quarantine" // number: reason and record
)

// Store is an [outbox.Store] in a file. It is safe for concurrent use.
type Store struct {
	outbox.OneRelay
	file     *boltfile.File
	o        Options
	appended chan struct{}
	delays   chan struct{}           // a hint of a delayed entry
	aside    *outbox.QuarantineUsage // including pending writes

	mu      sync.Mutex
	waiting amount
	asked   amount // of pending appends
	delayed delayedUsage
}

// amount is a number of entries and their size in bytes.
type amount struct {
	n     int
	bytes int64
}

func (a *amount) add(b amount)      { a.n, a.bytes = a.n+b.n, a.bytes+b.bytes }
func (a *amount) subtract(b amount) { a.n, a.bytes = a.n-b.n, a.bytes-b.bytes }

var (
	_ outbox.Store   = (*Store)(nil)
	_ outbox.Claimer = (*Store)(nil)
	_ outbox.Delayer = (*Store)(nil)
)

// Open opens the outbox in a file. It creates missing files and folders. It returns
// [ErrLocked] if the file is still open elsewhere after LockTimeout. It reads the whole file,
// which takes about a second for 1 GiB, with little memory.
func Open(path string, o Options) (*Store, error) {
	if path == "" {
		return nil, errors.New("outbox file: the path is empty, want that of a file")
	}
	err := optioncheck.NotNegative(fmt.Sprintf("outbox file %q", path), map[string]int64{
		"MaxEntries": int64(o.MaxEntries), "MaxBytes": o.MaxBytes,
		"MaxQuarantined": int64(o.MaxQuarantined), "MaxQuarantinedBytes": o.MaxQuarantinedBytes,
		"MaxDelayed": int64(o.MaxDelayed), "MaxDelayedBytes": o.MaxDelayedBytes,
	}, map[string]time.Duration{"LockTimeout": o.LockTimeout})
	if err != nil {
		return nil, err
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 1_000_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 1 << 30
	}
	if o.MaxQuarantined == 0 {
		o.MaxQuarantined = outbox.DefaultMaxQuarantined
	}
	if o.MaxQuarantinedBytes == 0 {
		o.MaxQuarantinedBytes = outbox.DefaultMaxQuarantinedBytes
	}
	o.MaxDelayed = cmp.Or(o.MaxDelayed, outbox.DefaultMaxDelayed)
	o.MaxDelayedBytes = cmp.Or(o.MaxDelayedBytes, outbox.DefaultMaxDelayedBytes)
	file, err := boltfile.Open(path, boltfile.Options{
		Buckets: []string{entriesBucket, quarantineBucket}, Added: []string{delayedBucket}, LockTimeout: o.LockTimeout,
		ValidKey: validKey, Salvage: salvage, OnCorrupt: o.OnCorrupt,
	})
	if err != nil {
		return nil, fmt.Errorf("outbox file: %w", err)
	}
	s := &Store{file: file, o: o, appended: make(chan struct{}, 1), delays: make(chan struct{}, 1), delayed: newDelayedUsage()}
	s.aside = outbox.NewQuarantineUsage(o.MaxQuarantined, o.MaxQuarantinedBytes)
	if err := s.count(); err != nil {
		return nil, errors.Join(fmt.Errorf("outbox file %s: %w", path, err), file.Close())
	}
	s.hint()
	return s, nil
}

func validKey(bucket string, key []byte) bool {
	if bucket == delayedBucket {
		return len(key) == len(delayedKey{})
	}
	return bucket != entriesBucket && bucket != quarantineBucket || len(key) == 8
}

// salvage recognises entries, and skips those that were sent: the sequence of the quarantine
// bucket is the number up to which all entries were sent. A delayed entry may have been sent.
func salvage(key, value []byte, sequences map[string]uint64) string {
	e, err := decode(key, value)
	if err == nil && len(key) == len(delayedKey{}) {
		return delayedBucket
	}
	if err != nil || e.Seq <= sequences[quarantineBucket] {
		return ""
	}
	return entriesBucket
}

// count adds up the entries in the file. It also makes sure that no number is used twice, even
// if the page with the last number is damaged.
func (s *Store) count() error {
	low, highest := false, uint64(0)
	err := s.file.View(func(tx *bbolt.Tx) (err error) {
		if highest, err = s.countDelayed(tx); err != nil {
			return err
		}
		err = tx.Bucket([]byte(quarantineBucket)).ForEach(func(_, v []byte) error {
			rec := asideRecord(v)
			s.aside.Add(shareOf(rec), 1, sizeOf(rec))
			return nil
		})
		if err != nil {
			return err
		}
		b := tx.Bucket([]byte(entriesBucket))
		last, _ := b.Cursor().Last()
		low = last != nil && binary.BigEndian.Uint64(last) > b.Sequence() || highest > tx.Bucket([]byte(delayedBucket)).Sequence()
		return b.ForEach(func(_, v []byte) error {
			s.waiting.add(amount{1, sizeOf(v)})
			return nil
		})
	})
	if err != nil || !low {
		return err
	}
	return s.file.Update(context.Background(), boltfile.Op{Grow: 1, Apply: func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(entriesBucket))
		seq := b.Sequence()
		if last, _ := b.Cursor().Last(); last != nil {
			seq = max(seq, binary.BigEndian.Uint64(last))
		}
		d := tx.Bucket([]byte(delayedBucket))
		return errors.Join(b.SetSequence(seq), d.SetSequence(max(highest, d.Sequence())))
	}})
}

// Append implements [outbox.Store]. It returns [outbox.ErrFull] if the disk is full, and any
// other error of the disk unchanged. If ctx ends first, its error is returned, and the entries
// may still be accepted. Concurrent calls share one fsync.
func (s *Store) Append(ctx context.Context, entries ...*outbox.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	for _, e := range entries {
		if err := e.Validate(); err != nil {
			return err
		}
	}
	a := newAppending(entries, time.Now())
	if err := s.ask(a.amount); err != nil {
		return err
	}
	if err := s.askDelayed(a.later); err != nil {
		s.answered(a.amount, false)
		return err
	}
	err := s.file.Update(ctx, boltfile.Op{
		Grow: a.grow, Apply: a.apply,
		Finish: func(stored bool) {
			s.answered(a.amount, stored)
			s.answeredDelayed(a, stored)
		},
	})
	if err != nil {
		return wrap("append", err)
	}
	for i, e := range entries {
		e.Seq, e.Accepted = a.seqs[i], a.now
	}
	return nil
}

// ask reserves room within the bounds before anything is written.
func (s *Store) ask(a amount) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting.n+s.asked.n+a.n > s.o.MaxEntries || s.waiting.bytes+s.asked.bytes+a.bytes > s.o.MaxBytes {
		return outbox.ErrFull
	}
	s.asked.add(a)
	return nil
}

func (s *Store) answered(a amount, stored bool) {
	s.mu.Lock()
	s.asked.subtract(a)
	if stored {
		s.waiting.add(a)
	}
	s.mu.Unlock()
	if stored && a.n > 0 {
		s.hint()
	}
}

func (s *Store) hint() { hint(s.appended) }

func hint(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// The numbers of entries that one change deletes; the changes of a Delete share a commit. A
// full disk may not have enough room to copy all pages of many entries, so fewer are tried
// then.
const (
	maxDelete     = 256
	maxDeleteFull = 8
)

// Delete implements [outbox.Store]. It works even if the disk is full. It shares commits with
// appends and other deletes.
func (s *Store) Delete(ctx context.Context, seqs ...uint64) error {
	seqs = slices.Clone(seqs) // ctx may end before they are used
	err := s.delete(ctx, seqs, maxDelete)
	if boltfile.IsFull(err) {
		err = s.delete(ctx, seqs, maxDeleteFull)
	}
	return wrap("delete", err)
}

func (s *Store) delete(ctx context.Context, seqs []uint64, each int) error {
	var ops []boltfile.Op
	for some := range slices.Chunk(seqs, each) {
		d := &deleting{seqs: some}
		ops = append(ops, boltfile.Op{Apply: d.apply, Finish: func(stored bool) {
			if stored {
				s.removed(d.amount)
			}
		}})
	}
	return s.file.Update(ctx, ops...)
}

// deleting is the change made by a Delete.
type deleting struct {
	seqs   []uint64
	amount // of those that existed
}

func (d *deleting) apply(tx *bbolt.Tx) error {
	d.amount = amount{}
	entries := tx.Bucket([]byte(entriesBucket))
	c := entries.Cursor()
	for _, seq := range d.seqs {
		k, v := c.Seek(keyOf(seq))
		if len(k) != 8 || binary.BigEndian.Uint64(k) != seq {
			continue
		}
		d.add(amount{1, sizeOf(v)})
		if err := c.Delete(); err != nil {
			return err
		}
	}
	if d.n == 0 {
		return nil
	}
	sent := entries.Sequence() // everything below the first entry was sent: see salvage
	if k, _ := c.First(); k != nil {
		sent = binary.BigEndian.Uint64(k) - 1
	}
	return tx.Bucket([]byte(quarantineBucket)).SetSequence(sent)
}

func (s *Store) removed(a amount) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting.subtract(a)
}

// Hold implements [outbox.Store]. It always succeeds, because no other process can open the
// file.
func (s *Store) Hold(context.Context) (time.Time, error) {
	return time.Time{}, wrap("hold", s.file.View(func(*bbolt.Tx) error { return nil }))
}

// Yield implements [outbox.Store]. It does nothing.
func (s *Store) Yield(context.Context) error { return nil }

// Appended implements [outbox.Store].
func (s *Store) Appended() <-chan struct{} { return s.appended }

// Stats implements [outbox.Store]; it takes microseconds. While the disk refuses writes, it
// returns the snapshot together with the error of the disk, which wraps [outbox.ErrFull] if
// the disk is full, and tests once a second whether writes succeed again.
func (s *Store) Stats(context.Context) (outbox.Stats, error) {
	var oldest, next time.Time
	err := s.file.View(func(tx *bbolt.Tx) error {
		if k, _ := tx.Bucket([]byte(delayedBucket)).Cursor().First(); k != nil {
			next = time.UnixMilli(delayedKey(k).due())
		}
		if k, v := tx.Bucket([]byte(entriesBucket)).Cursor().First(); k != nil {
			oldest = acceptedOf(v)
		}
		return nil
	})
	if err != nil {
		return outbox.Stats{}, wrap("stats", err)
	}
	s.mu.Lock()
	st := outbox.Stats{
		Depth: s.waiting.n, Bytes: s.waiting.bytes, MaxDepth: s.o.MaxEntries, MaxBytes: s.o.MaxBytes,
		Oldest: oldest, Quarantined: s.aside.Entries(), MaxQuarantined: s.o.MaxQuarantined,
		Delayed: s.delayed.n, DelayedBytes: s.delayed.bytes, NextDue: next,
		MaxDelayed: s.o.MaxDelayed, MaxDelayedBytes: s.o.MaxDelayedBytes,
	}
	s.mu.Unlock()
	return st, wrap("write", s.file.Err())
}

// Waiting implements [outbox.Counter].
func (s *Store) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting.n + s.asked.n
}

// Close waits for pending writes and closes the file. The entries are kept.
func (s *Store) Close() error { return wrap("close", s.file.Close()) }

func wrap(what string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, boltfile.ErrClosed):
		return outbox.ErrClosed
	case boltfile.IsFull(err):
		return fmt.Errorf("%w: %w", outbox.ErrFull, err)
	}
	return fmt.Errorf("outbox file: %s: %w", what, err)
}
