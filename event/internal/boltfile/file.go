// Package boltfile is a bbolt file as the stores of package event need it: many
// writers share one commit, a full disk is an error from which the file works
// on when there is room again, and a damaged file is noticed before it can do
// harm.
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
	// ErrLocked is the error of Open for a file that another process, or
	// another store of this one, has open.
	ErrLocked = errors.New("file is in use")
	// ErrCorrupt is the error of Open for a damaged file that is not to be
	// recovered, and of a file that turns out to be damaged while it is used.
	ErrCorrupt = errors.New("file is damaged")
	// ErrClosed is the error of a closed file.
	ErrClosed = errors.New("file is closed")
)

// Options set up a [File].
type Options struct {
	// Buckets are created together when the file is new; that one of them is
	// missing later is damage.
	Buckets []string
	// Added are buckets that files of earlier versions do not have: each is
	// created when it is missing.
	Added []string
	// LockTimeout is how long Open waits for another process to close the
	// file; default 1 s.
	LockTimeout time.Duration
	// ValidKey reports whether a key may be in a bucket; one that may not is
	// damage. Default: all may. The values of records are the user's to check.
	ValidKey func(bucket string, key []byte) bool
	// Salvage names the bucket of a record from a damaged file that nothing
	// points to, "" to leave it: it may have been deleted long ago. sequences
	// has the highest sequence of each bucket that was found. A key is in one
	// bucket only.
	Salvage func(key, value []byte, sequences map[string]uint64) (bucket string)
	// OnCorrupt permits to recover a damaged file, and is told the result.
	OnCorrupt func(Recovery)
}

// all are the buckets that an open file has.
func (o *Options) all() []string { return slices.Concat(o.Buckets, o.Added) }

// probeBucket is written to when a commit failed, to see whether one works again.
const probeBucket = "probe"

// File is an open file. All methods are safe for concurrent use.
type File struct {
	db   *bbolt.DB
	raw  *os.File // that of db
	wake chan struct{}
	done chan struct{} // closed when the committer has ended

	mu      sync.Mutex
	pending []*op
	closed  bool
	broken  error // nothing works any more
	err     error // of the last commit
	growErr error // of the last commit that needed room
	probed  time.Time

	reserved int64 // of the committer: the disk has blocks up to here
}

// Open opens or creates a file, and the folders that it is in, for this user only. A
// symbolic link is an error.
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
			NoFreelistSync: true, // examine has read the tree anyway
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

// View reads. What it gives out is valid within do only.
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

// Err is why the file cannot be written, nil when the last commit worked. It
// has the committer try again when that was a while ago.
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

// Close commits what was asked for before, and closes the file.
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
	if broken != nil { // bbolt may hold its own locks for ever
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

// withdraw takes ops back that no commit has begun with.
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

// guard turns a panic of bbolt, which is how it meets a damaged page, and a
// fault in the mapped file, which is how a disk that cannot be read shows, into
// an error.
func guard(do func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: %v", ErrCorrupt, p)
		}
	}()
	return do()
}
