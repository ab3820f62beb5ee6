package topic

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	// ways is how many places there are for a name.
	ways = 4
	// firstSlots is the size of a table before it grows.
	firstSlots = 64
	// maxCachedName bounds what a stranger's names can make us remember, in
	// bytes per name.
	maxCachedName = 512
)

// entry is the answer for one name. It never changes.
type entry[V any] struct {
	hash   uint64
	name   string
	values []V
}

// table has a power of two of slots; a name lives in one of the ways slots of
// its set.
type table[V any] []atomic.Pointer[entry[V]]

func (t table[V]) set(hash uint64) table[V] {
	at := int(hash) & (len(t) - 1) &^ (ways - 1)
	return t[at : at+ways]
}

// cache remembers answers: reads take no lock, writes are the owner's to
// serialise. The zero value is not ready; see init.
type cache[V any] struct {
	seed   maphash.Seed
	slots  int // size at which a table stops growing
	victim int
	table  atomic.Pointer[table[V]]
}

// init lets the cache hold about limit names: the next power of two.
func (c *cache[V]) init(limit int) {
	c.seed = maphash.MakeSeed()
	c.slots = ways
	for c.slots < min(limit, 1<<20) {
		c.slots *= 2
	}
}

func (c *cache[V]) hash(name string) uint64      { return maphash.String(c.seed, name) }
func (c *cache[V]) hashBytes(name []byte) uint64 { return maphash.Bytes(c.seed, name) }

// get returns the entry of name, or nil.
func (c *cache[V]) get(hash uint64, name string) *entry[V] {
	t := c.table.Load()
	if t == nil {
		return nil
	}
	set := t.set(hash)
	for i := range set {
		if e := set[i].Load(); e != nil && e.hash == hash && e.name == name {
			return e
		}
	}
	return nil
}

// getBytes is get without making a string of name.
func (c *cache[V]) getBytes(hash uint64, name []byte) *entry[V] {
	t := c.table.Load()
	if t == nil {
		return nil
	}
	set := t.set(hash)
	for i := range set {
		if e := set[i].Load(); e != nil && e.hash == hash && e.name == string(name) {
			return e
		}
	}
	return nil
}

// clear forgets everything.
func (c *cache[V]) clear() { c.table.Store(nil) }

// put remembers e. When its set is full the table grows, or, at its final
// size, an older entry of the set is forgotten.
func (c *cache[V]) put(e *entry[V]) {
	if len(e.name) > maxCachedName {
		return
	}
	t := c.table.Load()
	if t == nil {
		fresh := make(table[V], min(firstSlots, c.slots))
		t = &fresh
		c.table.Store(t)
	}
	for !t.insert(e) {
		if len(*t) >= c.slots {
			c.victim = (c.victim + 1) % ways
			t.set(e.hash)[c.victim].Store(e)
			return
		}
		t = t.grown()
		c.table.Store(t)
	}
}

// insert stores e in a free slot of its set or over the entry of the same
// name, and reports false when there is none.
func (t table[V]) insert(e *entry[V]) bool {
	set := t.set(e.hash)
	for i := range set {
		old := set[i].Load()
		if old == nil || old.hash == e.hash && old.name == e.name {
			set[i].Store(e)
			return true
		}
	}
	return false
}

// grown returns a table of twice the size with the same entries: each set is
// split in two, so all of them fit.
func (t table[V]) grown() *table[V] {
	bigger := make(table[V], 2*len(t))
	for i := range t {
		if e := t[i].Load(); e != nil {
			bigger.insert(e)
		}
	}
	return &bigger
}
