// Package deadletterfile stores dead and parked letters in a single file, a bbolt database,
// for services without a database of their own.
//
// Put returns once its letter is on disk (fsync); concurrent calls share one fsync.
package deadletterfile

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/boltfile"
	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
)

var (
	// ErrClosed is the error of every method of a closed store.
	ErrClosed = errors.New("deadletter file: closed")
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
	// MaxLetters is the maximum number of dead and parked letters together; default 100,000.
	MaxLetters int
	// MaxBytes is the maximum of their total size in bytes; default 1 GiB. The file is larger
	// by the overhead of bbolt, and does not shrink.
	MaxBytes int64
	// Share limits the letters of one origin to 1/Share of either bound once the store is half
	// full; default 8; 1 means no limit per origin. See [deadletter.Bounds].
	Share int
	// LockTimeout is how long Open waits for another process to close the file; default 1 s.
	LockTimeout time.Duration
	// OnCorrupt, if set, permits Open to recover a damaged file, and is called with the
	// result. The damaged file is renamed to <path>.corrupt-<time>, and everything readable is
	// copied to a new file, possibly including deleted letters. If OnCorrupt is nil, Open
	// returns [ErrCorrupt] and does not change the file.
	OnCorrupt func(Recovery)
}

const (
	bucket = "letters" // id: record
	maxID  = 255
)

// Store is a [deadletter.Store] in a file. It is safe for concurrent use.
//
// A letter that is damaged on disk is still listed, as a dead letter whose reason names the
// damage and whose payload is the damaged data.
type Store struct {
	file   *boltfile.File
	path   string
	bounds deadletter.Bounds
	usage  *deadletter.Usage // including pending writes

	mu     sync.Mutex
	dead   int
	parked []string // ids of parked letters, sorted, so that a page needs not look at all of them

	// No other process can open the file, so claims are kept in memory.
	claims deadletter.Claims
}

var (
	_ deadletter.Store   = (*Store)(nil)
	_ deadletter.Claimer = (*Store)(nil)
)

// Open opens the store in a file. It creates missing files and folders. It returns [ErrLocked]
// if the file is still open elsewhere after LockTimeout.
func Open(path string, o Options) (*Store, error) {
	if path == "" {
		return nil, errors.New("deadletter file: the path is empty, want that of a file")
	}
	err := optioncheck.NotNegative(fmt.Sprintf("deadletter file %q", path), map[string]int64{
		"MaxLetters": int64(o.MaxLetters), "MaxBytes": o.MaxBytes, "Share": int64(o.Share),
	},
		map[string]time.Duration{"LockTimeout": o.LockTimeout})
	if err != nil {
		return nil, err
	}
	file, err := boltfile.Open(path, boltfile.Options{
		Buckets: []string{bucket}, Added: []string{filtersBucket}, LockTimeout: o.LockTimeout,
		Salvage: salvage, OnCorrupt: o.OnCorrupt,
	})
	if err != nil {
		return nil, fmt.Errorf("deadletter file: %w", err)
	}
	bounds := deadletter.Bounds{Letters: o.MaxLetters, Bytes: o.MaxBytes, Share: o.Share}.WithDefaults()
	s := &Store{file: file, path: path, bounds: bounds, usage: deadletter.NewUsage(bounds)}
	err = file.View(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucket)).ForEach(func(k, v []byte) error {
			s.count(string(k), 0, stateOf(v))
			s.usage.Add(originOf(v), 1, sizeOf(k, v))
			return nil
		})
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("deadletter file %s: %w", path, err), file.Close())
	}
	return s, nil
}

// String describes the store, for logs and hooks.
func (s *Store) String() string { return "file " + s.path }

// salvage recognises letters, and remembered filters by their key.
func salvage(key, value []byte, _ map[string]uint64) string {
	if isFilters(key) {
		if _, err := decodeFilters(key, value); err == nil {
			return filtersBucket
		}
		return ""
	}
	if _, err := decodeWhole(key, value); err != nil {
		return ""
	}
	return bucket
}

// count tracks the change of a letter's state; 0 means no letter.
func (s *Store) count(id string, from, to byte) {
	if from == deadByte {
		s.dead--
	}
	if to == deadByte {
		s.dead++
	}
	if (from == parkedByte) == (to == parkedByte) {
		return
	}
	i, there := slices.BinarySearch(s.parked, id)
	switch {
	case to == parkedByte && !there:
		s.parked = slices.Insert(s.parked, i, id)
	case to != parkedByte && there:
		s.parked = slices.Delete(s.parked, i, i+1)
	}
}

// Put implements [deadletter.Store]. It returns [deadletter.ErrFull] if the disk is full. If
// ctx ends first, its error is returned, and the letter may still be stored.
func (s *Store) Put(ctx context.Context, l *deadletter.Letter) error {
	switch {
	case l.ID == "" || len(l.ID) > maxID:
		return fmt.Errorf("deadletter file: id has %d bytes, want 1 to %d", len(l.ID), maxID)
	case l.State != deadletter.Dead && l.State != deadletter.Parked:
		return fmt.Errorf("deadletter file: no such state: %q", l.State)
	}
	id, rec, origin := []byte(l.ID), encode(l), l.Origin()
	size := sizeOf(id, rec)
	if err := s.ask(id, origin, size); err != nil {
		return err
	}
	var (
		was  byte
		from string // origin and size of the letter that is replaced
		old  int64
	)
	apply := func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		b.FillPercent = 0.9 // ids are ascending
		before := b.Get(id)
		if was = stateOf(before); was != 0 {
			from, old = originOf(before), sizeOf(id, before)
		}
		return b.Put(id, rec)
	}
	finish := func(stored bool) {
		if !stored {
			s.usage.Add(origin, -1, -size)
			return
		}
		if was != 0 {
			s.usage.Add(from, -1, -old)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count(string(id), was, stateOf(rec))
		s.claims.End(string(id))
	}
	return wrap("put", s.file.Update(ctx, boltfile.Op{Grow: len(id) + len(rec), Apply: apply, Finish: finish}))
}

// ask reserves room for a letter. If the store is full, only an existing letter has room,
// because it is replaced.
func (s *Store) ask(id []byte, origin string, size int64) error {
	full := s.usage.Take(origin, size)
	if full == nil {
		return nil
	}
	there := false
	if err := s.file.View(func(tx *bbolt.Tx) error {
		there = tx.Bucket([]byte(bucket)).Get(id) != nil
		return nil
	}); err != nil {
		return wrap("put", err)
	}
	if !there {
		return full
	}
	s.usage.Add(origin, 1, size)
	return nil
}

// Get implements [deadletter.Store].
func (s *Store) Get(_ context.Context, id string) (l *deadletter.Letter, err error) {
	err = s.file.View(func(tx *bbolt.Tx) error {
		if v := tx.Bucket([]byte(bucket)).Get([]byte(id)); v != nil {
			l = decode([]byte(id), v)
		}
		return nil
	})
	if err == nil && l == nil {
		err = deadletter.ErrNotFound
	}
	return l, wrap("get", err)
}

// List implements [deadletter.Store]. It reads letters until the page is full; parked letters
// are found without reading the others.
func (s *Store) List(ctx context.Context, q deadletter.Query) (out []*deadletter.Letter, err error) {
	page, full := q.Full(), false
	take := func(k, v []byte) {
		if l := decode(k, v); q.Matches(l) {
			if full = page(l); !full {
				out = append(out, l)
			}
		}
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		if q.State == deadletter.Parked {
			for id := range s.parkedAfter(q.After) {
				if full || ctx.Err() != nil {
					break
				}
				if v := b.Get([]byte(id)); stateOf(v) == parkedByte {
					take([]byte(id), v)
				}
			}
			return ctx.Err()
		}
		c := b.Cursor()
		k, v := c.Seek([]byte(q.After))
		if k != nil && string(k) == q.After {
			k, v = c.Next()
		}
		for ; k != nil && !full && ctx.Err() == nil; k, v = c.Next() {
			take(k, v)
		}
		return ctx.Err()
	})
	if err != nil {
		return nil, wrap("list", err)
	}
	return out, nil
}

// parkedAfter yields the ids of parked letters after an id, sorted.
func (s *Store) parkedAfter(after string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for ids := s.nextParked(after); len(ids) > 0; ids = s.nextParked(ids[len(ids)-1]) {
			for _, id := range ids {
				if !yield(id) {
					return
				}
			}
		}
	}
}

func (s *Store) nextParked(after string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, there := slices.BinarySearch(s.parked, after)
	if there {
		i++
	}
	return slices.Clone(s.parked[i:min(len(s.parked), i+parkedChunk)])
}

// parkedChunk is the number of ids of parked letters that are looked at together.
const parkedChunk = 256

// Claim implements [deadletter.Claimer]. The claim ends with the process. It checks that the
// letter exists after it has the claim, because the previous holder may have deleted the
// letter.
func (s *Store) Claim(_ context.Context, id string, d time.Duration) (ok bool, err error) {
	if !s.claims.Take(id, d) {
		return false, nil
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		ok = tx.Bucket([]byte(bucket)).Get([]byte(id)) != nil
		return nil
	})
	if !ok {
		s.claims.End(id)
	}
	return ok, wrap("claim", err)
}

// Release implements [deadletter.Claimer].
func (s *Store) Release(_ context.Context, id string) error {
	s.claims.End(id)
	return nil
}

// Delete implements [deadletter.Store]. It works even if the disk is full.
func (s *Store) Delete(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	ids = slices.Clone(ids) // ctx may end before they are used
	type letter struct {
		state  byte // 0 if the letter did not exist
		origin string
		size   int64
	}
	gone := make([]letter, 0, len(ids))
	apply := func(tx *bbolt.Tx) error {
		gone = gone[:0]
		b := tx.Bucket([]byte(bucket))
		for _, id := range ids {
			v := b.Get([]byte(id))
			if v == nil {
				gone = append(gone, letter{})
				continue
			}
			gone = append(gone, letter{stateOf(v), originOf(v), sizeOf([]byte(id), v)})
			if err := b.Delete([]byte(id)); err != nil {
				return err
			}
		}
		return nil
	}
	finish := func(stored bool) {
		if !stored {
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i, id := range ids {
			if gone[i].state != 0 {
				s.usage.Add(gone[i].origin, -1, -gone[i].size)
			}
			s.count(id, gone[i].state, 0)
			s.claims.End(id)
		}
	}
	return wrap("delete", s.file.Update(ctx, boltfile.Op{Apply: apply, Finish: finish}))
}

// Stats implements [deadletter.Store]. While the disk refuses writes, it returns the snapshot
// together with the error of the disk, and tests once a second whether writes succeed again.
func (s *Store) Stats(context.Context) (deadletter.Stats, error) {
	s.mu.Lock()
	st := deadletter.Stats{Dead: s.dead, Parked: len(s.parked), Max: s.bounds.Letters, MaxBytes: s.bounds.Bytes}
	s.mu.Unlock()
	st.Bytes = s.usage.All().Bytes
	return st, wrap("write", s.file.Err())
}

// Parks implements [deadletter.Store]; it returns true.
func (s *Store) Parks() bool { return true }

// Close waits for pending writes and closes the file. The letters are kept.
func (s *Store) Close() error { return wrap("close", s.file.Close()) }

func wrap(what string, err error) error {
	switch {
	case err == nil, errors.Is(err, deadletter.ErrNotFound):
		return err
	case errors.Is(err, boltfile.ErrClosed):
		return ErrClosed
	case boltfile.IsFull(err):
		return fmt.Errorf("%w: %w", deadletter.ErrFull, err)
	}
	return fmt.Errorf("deadletter file: %s: %w", what, err)
}
