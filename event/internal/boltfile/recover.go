package boltfile

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
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
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && info.Size() == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a file", path)
	}
	unlock, err := lock(path, o.LockTimeout)
	if err != nil {
		return err
	}
	defer unlock()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	metas := readMetas(f, info.Size())
	damage := errors.New("no valid meta page")
	if len(metas) > 0 {
		t := tree{f: f, size: info.Size(), meta: metas[0]}
		t.record = func(bucket string, key, value []byte) {
			if o.ValidKey != nil && !o.ValidKey(bucket, key) {
				t.damaged(metas[0].root, "bucket %s has a key of %d bytes", bucket, len(key))
			}
		}
		damage = t.walk()
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

// lock keeps writers away by bbolt's own lock, as far as bbolt opens the file.
func lock(path string, timeout time.Duration) (unlock func(), err error) {
	var db *bbolt.DB
	err = guard(func() (err error) {
		db, err = bbolt.Open(path, 0, &bbolt.Options{ReadOnly: true, Timeout: timeout})
		return err
	})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return nil, fmt.Errorf("%s: %w by another process, or twice by this one", path, ErrLocked)
	case errors.Is(err, os.ErrPermission):
		return nil, err
	case err != nil: // damaged: there is nobody who writes it
		return func() {}, nil
	}
	return func() { _ = db.Close() }, nil
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
	if err = r.salvage(db, f, metas, o); err == nil {
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

// saved is a record to be written to the new file.
type saved struct{ bucket, key, value []byte }

// salvage reads by the newest meta page and then by the one before it, which
// reaches some pages that the newest no longer does, or that are damaged there.
// At worst that brings back records which were deleted last.
func (r *Recovery) salvage(db *bbolt.DB, f *os.File, metas []meta, o Options) error {
	wanted := map[string]bool{}
	for _, name := range o.Buckets {
		wanted[name] = true
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	var batch []saved
	var size int
	var writeErr error
	flush := func() {
		if writeErr == nil {
			writeErr = r.write(db, batch)
		}
		batch, size = batch[:0], 0
	}
	sequences := map[string]uint64{}
	for _, m := range metas {
		t := tree{f: f, size: info.Size(), meta: m}
		t.bucket = func(name string, seq uint64) {
			if wanted[name] && seq < 1<<62 { // a damaged one must not use the numbers up
				sequences[name] = max(sequences[name], seq)
			}
		}
		t.record = func(bucket string, key, value []byte) {
			switch {
			case !wanted[bucket]:
			case o.ValidKey != nil && !o.ValidKey(bucket, key):
				r.Lost++
			default:
				batch = append(batch, saved{[]byte(bucket), key, value})
				if size += len(value); size > 8<<20 || len(batch) >= 4096 {
					flush()
				}
			}
		}
		_ = t.walk() // the damage is known
		flush()
	}
	if writeErr != nil {
		return writeErr
	}
	return db.Update(func(tx *bbolt.Tx) error { return setSequences(tx, o.Buckets, sequences) })
}

func (r *Recovery) write(db *bbolt.DB, batch []saved) error {
	return db.Update(func(tx *bbolt.Tx) error {
		for _, s := range batch {
			b, err := tx.CreateBucketIfNotExists(s.bucket)
			if err != nil {
				return err
			}
			if b.Get(s.key) != nil {
				continue // the newer one is there
			}
			if err := b.Put(s.key, s.value); err != nil {
				return err
			}
			r.Kept++
		}
		return nil
	})
}

// setSequences has numbers go on behind all that were found.
func setSequences(tx *bbolt.Tx, buckets []string, sequences map[string]uint64) error {
	for _, name := range buckets {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		seq := sequences[name]
		if last, _ := b.Cursor().Last(); len(last) == 8 {
			seq = max(seq, beUint64(last))
		}
		if err := b.SetSequence(seq); err != nil {
			return err
		}
	}
	return nil
}

func beUint64(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}
