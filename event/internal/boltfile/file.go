// Package boltfile implements a bbolt file for the stores of package event: concurrent writers
// share commits, a full disk is an error from which the file recovers once there is room, and
// a damaged file is detected before it can do harm.
package boltfile

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/ownfile"
)

// The errors of this package, besides those of the system.
var (
	// ErrLocked is the error of Open for a file that is already open, in this or another
	// process.
	ErrLocked = errors.New("file is in use")
	// ErrCorrupt is the error of Open for a damaged file that must not be recovered, and of
	// all methods when damage is detected while the file is in use.
	ErrCorrupt = errors.New("file is damaged")
	// ErrClosed is the error of a closed file.
	ErrClosed = errors.New("file is closed")
)

// Options configures a [File].
type Options struct {
	// Buckets are created together in a new file; if one of them is missing in an existing
	// file, the file is damaged.
	Buckets []string
	// Added are buckets that files of earlier versions do not have: each is created if it is
	// missing.
	Added []string
	// LockTimeout is how long Open waits for another process to close the file; default 1 s.
	LockTimeout time.Duration
	// ValidKey reports whether a key may be in a bucket; an invalid key counts as damage.
	// Default: all keys are valid. The caller must check the values itself.
	ValidKey func(bucket string, key []byte) bool
	// Salvage returns the bucket of an unreferenced record of a damaged file, or "" to discard
	// it: it may have been deleted long ago. sequences has the highest sequence that was found
	// of each bucket. A key must be in one bucket only.
	Salvage func(key, value []byte, sequences map[string]uint64) (bucket string)
	// OnCorrupt permits the recovery of a damaged file, and is called with the result.
	OnCorrupt func(Recovery)
}

// all returns the buckets of an open file.
func (o *Options) all() []string { return slices.Concat(o.Buckets, o.Added) }

// probeBucket is written to after a failed commit, to test whether commits work again.
const probeBucket = "probe"

// File is an open file. All methods are safe for concurrent use.
type File struct {
	db   *bbolt.DB
	raw  *os.File // the file of db
	wake chan struct{}
	done chan struct{} // closed when the committer has ended

	mu      sync.Mutex
	pending []*op
	closed  bool
	broken  error // permanent failure
	err     error // of the last commit
	growErr error // of the last commit that needed room
	probed  time.Time

	reserved int64 // owned by the committer: blocks are allocated up to here
}

// Open opens or creates a file and its folders, accessible to this user only. A symbolic link
// is an error.
func Open(path string, o Options) (*File, error) {
	if o.LockTimeout == 0 {
		o.LockTimeout = time.Second
	}
	if err := ownfile.Folder(filepath.Dir(path)); err != nil {
		return nil, err
	}
	if err := examine(path, o); err != nil {
		return nil, err
	}
	f := &File{wake: make(chan struct{}, 1), done: make(chan struct{})}
	if err := f.open(path, o.LockTimeout); err != nil {
		return nil, err
	}
	if err := f.create(path, o.all()); err != nil {
		return nil, errors.Join(err, f.db.Close())
	}
	go f.commitAll()
	return f, nil
}

func (f *File) open(path string, timeout time.Duration) error {
	err := guard(func() (err error) {
		f.db, err = bbolt.Open(path, 0o600, &bbolt.Options{
			Timeout:        timeout,
			FreelistType:   bbolt.FreelistMapType,
			NoFreelistSync: true, // examine reads the tree anyway
			OpenFile: func(name string, flag int, _ os.FileMode) (_ *os.File, err error) {
				f.raw, err = ownfile.Open(name, flag)
				return f.raw, err
			},
		})
		return err
	})
	if errors.Is(err, berrors.ErrTimeout) {
		return fmt.Errorf("%s: %w by another process, or twice by this one", path, ErrLocked)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func (f *File) create(path string, buckets []string) error {
	missing := false
	err := f.View(func(tx *bbolt.Tx) error {
		for _, name := range buckets {
			missing = missing || tx.Bucket([]byte(name)) == nil
		}
		return nil
	})
	if err != nil || !missing {
		return err
	}
	err = guard(func() error {
		return f.db.Update(func(tx *bbolt.Tx) error {
			for _, name := range buckets {
				if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return syncDir(path)
}

// View runs do in a read transaction. Data read from tx is valid only during the call.
func (f *File) View(do func(tx *bbolt.Tx) error) error {
	f.mu.Lock()
	err := f.broken
	if f.closed {
		err = ErrClosed
	}
	f.mu.Unlock()
	if err != nil {
		return err
	}
	err = guard(func() error { return f.db.View(do) })
	switch {
	case errors.Is(err, berrors.ErrDatabaseNotOpen):
		return ErrClosed
	case errors.Is(err, ErrCorrupt):
		f.breakDown(err)
	}
	return err
}

// Err returns why the file cannot be written, or nil if the last commit succeeded. If it
// failed a while ago, the committer tries again.
func (f *File) Err() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	err := errors.Join(f.broken, f.err, f.growErr)
	if err == nil || f.closed || f.broken != nil || time.Since(f.probed) < time.Second {
		return err
	}
	f.probed = time.Now()
	f.pending = append(f.pending, newOp(Op{Grow: 1, Apply: func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(probeBucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(probeBucket), []byte{1})
	}}))
	f.wakeUp()
	return err
}

func (f *File) breakDown(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken == nil {
		f.broken = err
	}
}

// Close commits pending changes and closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	if f.closed {
		f.mu.Unlock()
		return ErrClosed
	}
	f.closed = true
	broken := f.broken
	f.mu.Unlock()
	f.wakeUp()
	<-f.done
	if broken != nil { // bbolt may hold its own locks forever
		return errors.Join(unlock(f.raw), f.raw.Close())
	}
	return f.db.Close()
}

func (f *File) wakeUp() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// withdraw removes ops that no commit has started with.
func (f *File) withdraw(ops []*op) {
	f.mu.Lock()
	var back []*op
	f.pending = slices.DeleteFunc(f.pending, func(x *op) bool {
		if slices.Contains(ops, x) {
			back = append(back, x)
			return true
		}
		return false
	})
	f.mu.Unlock()
	for _, x := range back {
		x.finish(false, context.Canceled)
	}
}

// guard converts two faults to an error: a panic of bbolt, which is how it reacts to a damaged
// page, and a fault in the mapped file, which is how an unreadable disk appears.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return do()
}
