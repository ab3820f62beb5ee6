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

// Recovery is what became of a damaged file.
type Recovery struct {
	// Path is where the damaged file is now.
	Path string
	// Kept is how many records are in the new file, Lost how many were found
	// that are not whole. What could not be found is not counted.
	Kept, Lost int
	// Err is the damage that was found first.
	Err error
}

// examine makes sure that a file which is there is whole, and recovers it when
// that is permitted. bbolt would read a damaged file until it panics, or for
// ever.
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
			return fmt.Errorf("%s: is a file of something else, which keeps %s there", path, strings.Join(names, ", "))
		}
		for _, name := range o.Buckets { // all are made together
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

// foreign returns the buckets of a file that has none of ours: another store's,
// or another program's, which no recovery may move aside.
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

// lock keeps writers away by bbolt's own lock, as far as bbolt opens the file.
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
	return func() {}, nil // damaged, as examine will see: nobody writes it
}

// recover puts what is whole into a new file, which takes the place of the
// damaged one.
func (r *Recovery) recover(path string, f *os.File, metas []meta, o Options) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(fresh.Name()) // in vain after the rename
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

// keepAside gives the file a second name, or copies it where that is not
// possible.
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
		return ErrLocked // another process recovers it
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
