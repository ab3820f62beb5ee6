package boltfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"go.etcd.io/bbolt"
)

const (
	// spare is reserved for ops that only remove: for copies of the pages that they change.
	spare = 128 << 10
	// step is how much more is reserved at a time, if there is room.
	step = 1 << 20
)

// ensure allocates room for grow bytes, and for the ops that remove them again, before
// anything is written, so that a full disk is detected while the file is intact and can still
// be emptied. (bbolt extends the file without allocating blocks, and scans all of it after a
// failed commit.)
func (f *File) ensure(grow int) error {
	need := int64(2*grow + 32<<10 + spare)
	var top int64 // end of the pages in use
	err := guard(func() error {
		return f.db.View(func(tx *bbolt.Tx) error {
			top = tx.Size()
			return nil
		})
	})
	if err != nil {
		return err
	}
	if top+need <= f.reserved {
		return nil
	}
	if free := f.db.Stats(); int64(free.FreeAlloc) >= need {
		return nil
	}
	from := max(top, f.reserved)
	for _, to := range []int64{top + need + step, top + need} {
		if err = reserve(f.raw, from, to); err == nil {
			f.reserved = to
			return nil
		}
		if !IsFull(err) {
			break
		}
	}
	return fmt.Errorf("reserve room: %w", err)
}

// zeros allocates blocks by writing zeros, where the system cannot reserve them.
func zeros(f *os.File, from, to int64) error {
	buf := make([]byte, 64<<10)
	for from < to {
		n, err := f.WriteAt(buf[:min(int64(len(buf)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// IsFull reports whether an error means that there is no room: on the disk, in a quota, or
// because of a limit for the size of a file.
func IsFull(err error) bool {
	for _, e := range fullErrors() {
		// bbolt returns some errors of the system as text only.
		if errors.Is(err, e) || err != nil && strings.Contains(err.Error(), e.Error()) {
			return true
		}
	}
	return false
}

func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, os.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		err = nil // not every system supports it
	}
	return errors.Join(err, d.Close())
}
