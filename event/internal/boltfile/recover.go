package boltfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/ownfile"
)

// Recovery describes the recovery of a damaged file.
type Recovery struct {
	// Path is where the damaged file was moved.
	Path string
	// Kept is the number of records in the new file, Lost the number of damaged records that
	// were found. Records that were not found are not counted.
	Kept, Lost int
	// Err is the first damage that was found.
	Err error
}

// examine checks that an existing file is intact, and recovers it if that is permitted. bbolt
// itself would panic on a damaged file, or read it for ever.
func examine(path string, o Options) error {
	if err := ownfile.Check(path); err != nil {
		return err
	}
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	unlock, err := lock(path, o.LockTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := ownfile.Open(path, os.O_RDONLY)
	if err != nil {
		return err
	}
	defer f.Close()
	metas := readMetas(f, info.Size())
	damage := errors.New("no valid meta page")
	if len(metas) > 0 {
		t := tree{f: f, size: info.Size(), meta: metas[0], reuse: true}
		found := map[string]bool{}
		t.bucket = func(name string, _ uint64) { found[name] = true }
		t.record = func(bucket string, key, _ []byte) {
			if o.ValidKey != nil && !o.ValidKey(bucket, key) {
				t.damagef(metas[0].root, "bucket %s has a key of %d bytes", bucket, len(key))
			}
		}
		damage = t.walk()
		if names := foreign(found, o.all()); names != nil {
			return fmt.Errorf("%s: belongs to another program or store, which has %s in it", path, strings.Join(names, ", "))
		}
		for _, name := range o.Buckets { // all are created together
			if len(found) > 0 && !found[name] {
				damage = errors.Join(damage, fmt.Errorf("bucket %s is missing", name))
			}
		}
	}
	switch {
	case damage == nil:
		return nil
	case errors.Is(damage, os.ErrPermission):
		return damage
	case o.OnCorrupt == nil:
		return fmt.Errorf("%s: %w: %w", path, ErrCorrupt, damage)
	}
	r := Recovery{Err: damage}
	if err := r.recover(path, f, metas, o); err != nil {
		return fmt.Errorf("%s: %w: %w; recover: %w", path, ErrCorrupt, damage, err)
	}
	o.OnCorrupt(r)
	return nil
}

// foreign returns the buckets of a file that has none of ours: it belongs to another store or
// program, so a recovery must not move it.
func foreign(found map[string]bool, ours []string) []string {
	var names []string
	for name := range found {
		switch {
		case slices.Contains(ours, name):
			return nil
		case name != probeBucket:
			names = append(names, strconv.Quote(name))
		}
	}
	slices.Sort(names)
	return names
}

// lock keeps writers away with bbolt's own lock, if bbolt can open the file.
func lock(path string, timeout time.Duration) (unlock func(), err error) {
	var db *bbolt.DB
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0, &bbolt.Options{
			ReadOnly: true, Timeout: timeout,
			OpenFile: func(name string, flag int, _ os.FileMode) (*os.File, error) { return ownfile.Open(name, flag) },
		})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w by another process, or twice by this one", path, ErrLocked)
	case errors.Is(err, os.ErrPermission):
		return nil, err
	case err == nil:
		return func() { _ = db.Close() }, nil
	}
	return func() {}, nil // damaged, as examine will find: it is not written to
}

// recover copies everything intact to a new file, which replaces the damaged one.
func (r *Recovery) recover(path string, f *os.File, metas []meta, o Options) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // has no effect after the rename
	if err := fresh.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(fresh.Name(), 0o600, &bbolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	s := salvage{db: db, f: f, o: o, sequences: map[string]uint64{}}
	if err = s.all(metas); err == nil {
		r.Kept, r.Lost = s.kept, s.lost
		err = db.Sync()
	}
	if err := errors.Join(err, db.Close()); err != nil {
		return err
	}
	r.Path = fmt.Sprintf("%s.corrupt-%s", path, time.Now().UTC().Format("20060102T150405.000000000"))
	if err := keepAside(path, r.Path, f); err != nil {
		return err
	}
	return errors.Join(os.Rename(fresh.Name(), path), syncDir(path))
}

// keepAside creates a hard link to the file, or copies it if that is not possible.
func keepAside(path, aside string, f *os.File) error {
	now, err := os.Stat(path)
	if err != nil {
		return err
	}
	was, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(now, was) {
		return ErrLocked // another process is recovering it
	}
	if os.Link(path, aside) == nil {
		return nil
	}
	to, err := os.OpenFile(aside, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, io.NewSectionReader(f, 0, was.Size()))
	return errors.Join(err, to.Sync(), to.Close())
}
