package boltfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
)

// The file format of bbolt, version 2: two meta pages, then branch and leaf pages. A page
// starts with its number, flags, count and overflow.
const (
	magic      = 0xED0CDAED
	version    = 2
	pageHeader = 16
	metaSize   = 64 // without the checksum after it is 56

	branchFlag = 0x01
	leafFlag   = 0x02
	bucketFlag = 0x01

	maxDepth = 64
)

// meta is the content of a meta page.
type meta struct {
	pageSize int64
	root     uint64 // page of the root bucket
	top      uint64 // pages in use, counted from the start of the file
	txid     uint64
}

// readMetas returns the valid meta pages, the newest first.
func readMetas(f io.ReaderAt, size int64) []meta {
	var found []meta
	if m, ok := readMeta(f, 0); ok {
		found = append(found, m)
	}
	// The position of the second one depends on the page size, which the first one may no
	// longer contain.
	for pageSize := int64(512); pageSize <= 64<<10 && pageSize < size; pageSize *= 2 {
		if m, ok := readMeta(f, pageSize); ok && m.pageSize == pageSize {
			found = append(found, m)
			break
		}
	}
	if len(found) == 2 && found[0].txid < found[1].txid {
		found[0], found[1] = found[1], found[0]
	}
	return found
}

func readMeta(f io.ReaderAt, at int64) (meta, bool) {
	var b [pageHeader + metaSize]byte
	if _, err := f.ReadAt(b[:], at); err != nil {
		return meta{}, false
	}
	p, order := b[pageHeader:], binary.NativeEndian
	sum := fnv.New64a()
	_, _ = sum.Write(p[:metaSize-8])
	m := meta{
		pageSize: int64(order.Uint32(p[8:])), root: order.Uint64(p[16:]),
		top: order.Uint64(p[40:]), txid: order.Uint64(p[48:]),
	}
	ok := order.Uint32(p) == magic && order.Uint32(p[4:]) == version && order.Uint64(p[56:]) == sum.Sum64() &&
		m.pageSize >= 512 && m.pageSize <= 64<<10
	return m, ok
}

// tree walks the pages below a meta page. It validates everything it reads, and continues
// after damage.
type tree struct {
	f    io.ReaderAt
	size int64 // of the file
	meta meta
	// record is called for each record of each bucket. bucket is called for each bucket.
	record func(bucket string, key, value []byte)
	bucket func(name string, sequence uint64)
	// shallow keeps scan from descending into the tree.
	shallow bool

	seen   pages
	damage error // the first damage
	// reuse permits reading each page into the memory of the previous page of the same depth:
	// then the arguments of record are valid only during the call. The trees of buckets come
	// after that of the root.
	reuse    bool
	bufs     [2 * (maxDepth + 1)][]byte
	elements [2 * (maxDepth + 1)][]element
	within   bool // the tree of a bucket
}

// slot returns the index of a page in bufs and elements.
func (t *tree) slot(depth int) int {
	if t.within {
		return maxDepth + 1 + depth
	}
	return depth
}

// pages is a set of pages, one bit each.
type pages struct {
	bits  []uint64
	added []uint64
}

func (p *pages) add(id uint64) (again bool) {
	if n := int(id/64) + 1; len(p.bits) < n {
		p.bits = append(p.bits, make([]uint64, n-len(p.bits))...)
	}
	bit := uint64(1) << (id % 64)
	again = p.bits[id/64]&bit != 0
	p.bits[id/64] |= bit
	p.added = append(p.added, id)
	return again
}

func (p *pages) clear() {
	for _, id := range p.added {
		p.bits[id/64] = 0
	}
	p.added = p.added[:0]
}

func (t *tree) walk() error {
	t.seen.clear()
	t.page(t.meta.root, nil, nil, 0, t.bucketOf)
	return t.damage
}

// scan visits all leaf pages of the file, referenced or not, including those that are no
// longer in use and not overwritten yet.
func (t *tree) scan() {
	for id := uint64(2); int64(id) < t.size/t.meta.pageSize; id++ {
		t.seen.clear() // pages may overlap with unused ones
		b, ok := t.read(id, 0)
		if !ok {
			continue
		}
		elements, isLeaf, _ := parse(b, nil)
		if !isLeaf {
			continue
		}
		for _, e := range elements {
			switch {
			case e.flags != 0:
				t.bucketOf(e)
			case t.record != nil:
				t.record("", e.key, e.value)
			}
		}
	}
}

func (t *tree) damagef(page uint64, format string, args ...any) {
	if t.damage == nil {
		t.damage = fmt.Errorf("page %d: %s", page, fmt.Sprintf(format, args...))
	}
}

// element is one entry of a page.
type element struct {
	flags      uint32
	key, value []byte
	page       uint64 // of a branch
}

// page walks a page and its children. All keys must be at least low and, unless high is nil,
// less than high.
func (t *tree) page(id uint64, low, high []byte, depth int, leaf func(e element)) {
	if depth > maxDepth {
		t.damagef(id, "too deep")
		return
	}
	b, ok := t.read(id, depth)
	if !ok {
		return
	}
	elements, isLeaf, err := parse(b, t.elements[t.slot(depth)][:0])
	t.elements[t.slot(depth)] = elements
	if err != nil {
		t.damagef(id, "%v", err)
	}
	if err := ordered(elements, low, high); err != nil {
		t.damagef(id, "%v", err)
	}
	for i, e := range elements {
		if isLeaf {
			leaf(e)
			continue
		}
		next := high
		if i+1 < len(elements) {
			next = elements[i+1].key
		}
		t.page(e.page, e.key, next, depth+1, leaf)
	}
}

// read reads a page and its overflow. A page may be read only once.
func (t *tree) read(id uint64, depth int) ([]byte, bool) {
	var head [pageHeader]byte
	if id < 2 || id >= t.meta.top || int64(id) >= t.size/t.meta.pageSize {
		t.damagef(id, "outside of the file")
		return nil, false
	}
	at := int64(id) * t.meta.pageSize
	if _, err := t.f.ReadAt(head[:], at); err != nil {
		t.damagef(id, "%v", err)
		return nil, false
	}
	n := uint64(binary.NativeEndian.Uint32(head[12:])) + 1
	if got := binary.NativeEndian.Uint64(head[:]); got != id {
		t.damagef(id, "says it is page %d", got)
		return nil, false
	}
	if id+n > t.meta.top || int64(n) > (t.size-at)/t.meta.pageSize {
		t.damagef(id, "extends over the end of the file")
		return nil, false
	}
	for i := range n {
		if t.seen.add(id + i) {
			t.damagef(id, "is used twice")
			return nil, false
		}
	}
	size := int64(n) * t.meta.pageSize
	buf := &t.bufs[t.slot(depth)]
	if int64(cap(*buf)) < size || !t.reuse {
		*buf = make([]byte, size)
	}
	b := (*buf)[:size]
	if _, err := t.f.ReadAt(b, at); err != nil {
		t.damagef(id, "%v", err)
		return nil, false
	}
	return b, true
}

// parse appends the elements of a page, up to the first damaged one.
func parse(b []byte, elements []element) (_ []element, isLeaf bool, err error) {
	order := binary.NativeEndian
	flags, count := order.Uint16(b[8:]), int(order.Uint16(b[10:]))
	isLeaf = flags == leafFlag
	switch {
	case !isLeaf && flags != branchFlag:
		return elements, false, fmt.Errorf("flags are %#x", flags)
	case !isLeaf && count == 0:
		return elements, false, errors.New("no children")
	case pageHeader+16*count > len(b):
		return elements, false, fmt.Errorf("%d elements", count)
	}
	next := uint64(pageHeader + 16*count) // bbolt leaves no gaps, so a wrong count is detected
	for i := range count {
		at := pageHeader + 16*i
		h := b[at:]
		e, pos, size := element{}, uint64(order.Uint32(h)), [2]uint64{uint64(order.Uint32(h[4:]))}
		if isLeaf {
			e.flags, pos = order.Uint32(h), uint64(order.Uint32(h[4:]))
			size = [2]uint64{uint64(order.Uint32(h[8:])), uint64(order.Uint32(h[12:]))}
		} else {
			e.page = order.Uint64(h[8:])
		}
		from := uint64(at) + pos
		if from != next || from+size[0]+size[1] > uint64(len(b)) || size[0] == 0 || e.flags > bucketFlag {
			return elements, isLeaf, fmt.Errorf("element %d is not where it belongs", i)
		}
		next = from + size[0] + size[1]
		e.key = b[from : from+size[0]]
		e.value = b[from+size[0] : from+size[0]+size[1]]
		elements = append(elements, e)
	}
	return elements, isLeaf, nil
}

func ordered(elements []element, low, high []byte) error {
	for i, e := range elements {
		if bytes.Compare(e.key, low) < 0 || i > 0 && bytes.Equal(e.key, low) || high != nil && bytes.Compare(e.key, high) >= 0 {
			return fmt.Errorf("key %d is out of order", i)
		}
		low = e.key
	}
	return nil
}

// bucketOf walks one bucket of the root bucket.
func (t *tree) bucketOf(e element) {
	if e.flags != bucketFlag || len(e.value) < 16 {
		t.damagef(t.meta.root, "has a record that is not a bucket")
		return
	}
	name, root := string(e.key), binary.NativeEndian.Uint64(e.value)
	if t.bucket != nil {
		t.bucket(name, binary.NativeEndian.Uint64(e.value[8:]))
	}
	leaf := func(e element) {
		if e.flags != 0 {
			t.damagef(root, "has a bucket in a bucket")
			return
		}
		if t.record != nil {
			t.record(name, e.key, e.value)
		}
	}
	if root != 0 {
		if t.shallow {
			return
		}
		t.within = true
		t.page(root, nil, nil, 0, leaf)
		t.within = false
		return
	}
	if len(e.value) < 16+pageHeader { // a small bucket is stored within its record
		t.damagef(t.meta.root, "has a bucket that is cut")
		return
	}
	elements, isLeaf, err := parse(e.value[16:], nil)
	if err == nil && !isLeaf {
		err = errors.New("bucket without leaves")
	}
	if err = errors.Join(err, ordered(elements, nil, nil)); err != nil {
		t.damagef(t.meta.root, "%v", err)
	}
	if isLeaf {
		for _, e := range elements {
			leaf(e)
		}
	}
}
