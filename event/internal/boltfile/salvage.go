package boltfile

import (
	"encoding/binary"
	"os"
	"slices"

	"go.etcd.io/bbolt"
)

// salvage copies everything intact in a damaged file to another file.
type salvage struct {
	db        *bbolt.DB
	f         *os.File
	o         Options
	sequences map[string]uint64 // highest sequence found of each bucket

	batch      []saved
	size       int
	err        error
	kept, lost int
}

// saved is a record to write.
type saved struct{ bucket, key, value []byte }

// all reads the tree of the newest meta page, then that of the previous one, which still
// references some pages that are damaged in the newest, and last all pages that look like
// leaves, because a damaged branch hides the pages below it. This also finds deleted records;
// Options.Salvage selects among those. Without a meta page only the last step is possible.
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
		last.scan() // for the sequences, which are passed to Salvage
		last.bucket, last.record = nil, s.unknown
		last.scan()
		s.flush()
	}
	if s.err != nil {
		return s.err
	}
	return s.db.Update(s.setSequences)
}

// guess returns a meta page for a file that has lost both. Only the page size must be found:
// it is one with which records can be read. That of this system is tried first.
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
	if slices.Contains(s.o.all(), bucket) && seq < 1<<62 { // a damaged one must not exhaust the numbers
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

// unknown handles a record whose bucket is unknown, or known by name only.
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

// write writes the batch without the records that were found before.
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

// setSequences makes the sequences continue after all that were found.
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
