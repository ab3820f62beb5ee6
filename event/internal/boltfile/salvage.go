package boltfile

import (
	"encoding/binary"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// salvage writes what is whole in a damaged file to another one.
type salvage struct {
	db        *bbolt.DB
	f         *os.File
	o         Options
	sequences map[string]uint64 // of buckets: the highest that was found

	batch      []saved
	size       int
	err        error
	kept, lost int
}

// saved is a record to be written.
type saved struct{ bucket, key, value []byte }

// all reads by the newest meta page, and by the one before it, which reaches
// some pages that are damaged there, and at last all pages that look like
// leaves, because a damaged branch hides those below it. That brings back
// records that were deleted; Options.Salvage chooses among those. Without a meta
// page that is all that can be done.
func (s *salvage) all(metas []meta) error {
	info, err := s.f.Stat()
	if err != nil {
		return err
	}
	trees := make([]tree, 0, len(metas)+1)
	for _, m := range metas {
		trees = append(trees, tree{f: s.f, size: info.Size(), meta: m, bucket: s.sequence, record: s.known})
	}
	for i := range trees {
		_ = trees[i].walk() // the damage is known
		s.flush()
	}
	whole, found := meta{}, false
	if len(metas) > 0 {
		whole, found = metas[0], true
	} else if s.o.Salvage != nil {
		whole, found = s.guess(info.Size())
	}
	if found && s.o.Salvage != nil {
		last := tree{f: s.f, size: info.Size(), meta: whole, bucket: s.sequence, shallow: true}
		last.scan() // for the sequences, which Salvage is given
		last.bucket, last.record = nil, s.unknown
		last.scan()
		s.flush()
	}
	if s.err != nil {
		return s.err
	}
	return s.db.Update(s.setSequences)
}

// guess is a meta page for a file that has lost both: all there is to know is the
// size of a page, which is the one in which there are records. That of this system
// is tried first.
func (s *salvage) guess(size int64) (meta, bool) {
	sizes := []int64{int64(os.Getpagesize())}
	for n := int64(64 << 10); n >= 512; n /= 2 {
		sizes = append(sizes, n)
	}
	for _, n := range sizes {
		m, found := meta{pageSize: n, top: uint64(size / n)}, false
		t := tree{f: s.f, size: size, meta: m, shallow: true}
		t.bucket = func(string, uint64) {}
		t.record = func(_ string, key, value []byte) {
			found = found || s.o.Salvage(key, value, nil) != ""
		}
		t.scan()
		if found {
			return m, true
		}
	}
	return meta{}, false
}

func (s *salvage) sequence(bucket string, seq uint64) {
	if slices.Contains(s.o.all(), bucket) && seq < 1<<62 { // a damaged one must not use the numbers up
		s.sequences[bucket] = max(s.sequences[bucket], seq)
	}
}

func (s *salvage) known(bucket string, key, value []byte) {
	switch {
	case !slices.Contains(s.o.all(), bucket):
	case s.o.ValidKey != nil && !s.o.ValidKey(bucket, key):
		s.lost++
	default:
		s.save(bucket, key, value)
	}
}

// unknown gets a record of which nobody knows the bucket, or only its name.
func (s *salvage) unknown(_ string, key, value []byte) {
	if bucket := s.o.Salvage(key, value, s.sequences); bucket != "" {
		s.save(bucket, key, value)
	}
}

func (s *salvage) save(bucket string, key, value []byte) {
	s.batch = append(s.batch, saved{[]byte(bucket), key, value})
	if s.size += len(value); s.size > 8<<20 || len(s.batch) >= 4096 {
		s.flush()
	}
}

func (s *salvage) flush() {
	if s.err == nil {
		s.err = s.db.Update(s.write)
	}
	s.batch, s.size = s.batch[:0], 0
}

// write writes the batch, except for what was found before.
func (s *salvage) write(tx *bbolt.Tx) error {
	for _, r := range s.batch {
		there := false
		for _, name := range s.o.all() {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			there = there || b.Get(r.key) != nil
		}
		if there {
			continue
		}
		if err := tx.Bucket(r.bucket).Put(r.key, r.value); err != nil {
			return err
		}
		s.kept++
	}
	return nil
}

// setSequences has numbers go on behind all that were found.
func (s *salvage) setSequences(tx *bbolt.Tx) error {
	for _, name := range s.o.all() {
		b, err := tx.CreateBucketIfNotExists([]byte(name))
		if err != nil {
			return err
		}
		seq := s.sequences[name]
		if last, _ := b.Cursor().Last(); len(last) == 8 {
			seq = max(seq, binary.BigEndian.Uint64(last))
		}
		if err := b.SetSequence(seq); err != nil {
			return err
		}
	}
	return nil
}
