// Package deadletterfile keeps dead and parked letters in one file on disk, a
// bbolt database, for services without a database of their own.
//
// A Put has returned once its letter is on disk (fsync); callers at the same
// time share one fsync.
package deadletterfile

import (
	"context"
	"errors"
	"fmt"
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
	// ErrLocked is the error of Open for a file that is open already, in
	// another process or in this one.
	ErrLocked = boltfile.ErrLocked
	// ErrCorrupt is the error of Open for a damaged file; see
	// [Options.OnCorrupt]. It is also the error of all methods when damage shows
	// while the file is used: close it and open it again.
	ErrCorrupt = boltfile.ErrCorrupt
)

// Recovery is what became of a damaged file.
type Recovery = boltfile.Recovery

// Options set up a [Store]. The zero value is useful.
type Options struct {
	// MaxLetters is how many letters may be kept, dead and parked; default
	// 100,000.
	MaxLetters int
	// MaxBytes is how many bytes they may take; default 1 GiB. The file may be
	// larger by what bbolt needs for itself, and does not shrink.
	MaxBytes int64
	// Share is how much of either bound letters of one origin may take once the
	// store is half full: one part of so many; default 8, and 1 is all of it. See
	// [deadletter.Bounds].
	Share int
	// LockTimeout is how long Open waits for another process to close the
	// file; default 1 s.
	LockTimeout time.Duration
	// OnCorrupt, when set, permits Open to recover a damaged file, and is told
	// what became of it: the damaged file is kept beside the new one, under the
	// name <path>.corrupt-<time>, and what can be read of it is in the new one,
	// with letters that had been deleted perhaps among it. When it is nil,
	// Open returns [ErrCorrupt] and leaves the file as it is.
	OnCorrupt func(Recovery)
}

const (
	bucket = "letters" // id: record
	maxID  = 255
)

// Store keeps letters in a file. It implements [deadletter.Store].
//
// A letter that is damaged on disk is not lost: it is listed as a dead one
// whose reason says so and whose payload is what was found.
type Store struct {
	file   *boltfile.File
	path   string
	bounds deadletter.Bounds
	usage  *deadletter.Usage // with what is being put

	mu     sync.Mutex
	dead   int
	parked map[string]struct{} // ids: they are few, and read back at a start

	// claims end with the process, and no other one can open the file.
	claims deadletter.Claims
}

var (
	_ deadletter.Store   = (*Store)(nil)
	_ deadletter.Claimer = (*Store)(nil)
)

// Open opens the store in a file, and creates the file, and the folders that it
// is in, when they are missing. A file that is open already is [ErrLocked],
// after LockTimeout.
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
	s := &Store{file: file, path: path, bounds: bounds, usage: deadletter.NewUsage(bounds), parked: make(map[string]struct{})}
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

// String says where the letters are.
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

// count notes that a letter changed its state; 0 is none.
func (s *Store) count(id string, from, to byte) {
	if from == deadByte {
		s.dead--
	}
	if to == deadByte {
		s.dead++
	}
	delete(s.parked, id)
	if to == parkedByte {
		s.parked[id] = struct{}{}
	}
}

// Put implements [deadletter.Store]. A full disk is [deadletter.ErrFull] too.
// When ctx ends first, its error is returned, and the letter may still be
// stored.
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
		from string // origin of the letter that is replaced, and its size
		old  int64
	)
	apply := func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		b.FillPercent = 0.9 // ids grow with time
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

// ask takes room for a letter. At a bound, only one that is there already has
// room: it is replaced.
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

// List implements [deadletter.Store]. It reads letters until the page is full;
// parked ones are found without reading the others.
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
			for _, id := range s.parkedAfter(q.After) {
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

// parkedAfter returns the ids of parked letters behind one, in order.
func (s *Store) parkedAfter(after string) (ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.parked {
		if id > after {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// Claim implements [deadletter.Claimer]. The claim ends with the process. It is
// looked for the letter only once it is claimed: who had it before may have
// deleted it until then.
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

// Delete implements [deadletter.Store]. It works on a full disk.
func (s *Store) Delete(ctx context.Context, ids ...string) error {
	if len(ids) == 0 {
		return nil
	}
	ids = slices.Clone(ids) // ctx may end before they are used
	type letter struct {
		state  byte // 0 of one that was not there
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

// Stats implements [deadletter.Store]. While the disk refuses writes, it
// returns the snapshot with an error that says why; whether the disk takes
// writes again is tried once a second then.
func (s *Store) Stats(context.Context) (deadletter.Stats, error) {
	s.mu.Lock()
	st := deadletter.Stats{Dead: s.dead, Parked: len(s.parked), Max: s.bounds.Letters, MaxBytes: s.bounds.Bytes}
	s.mu.Unlock()
	st.Bytes = s.usage.All().Bytes
	return st, wrap("write", s.file.Err())
}

// Parks implements [deadletter.Store]: parked letters may be kept here.
func (s *Store) Parks() bool { return true }

// Close waits for what is being written and closes the file. The letters stay.
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
