package topic

import (
	"hash/maphash"
	"sync/atomic"
)

const (
	// ways is the number of slots that a name can be stored in.
	ways = 4
	// firstSlots is the initial size of a table.
	firstSlots = 64
	// maxCachedName is the length of the longest name that is cached, in bytes.
	// It limits the memory that received topics can take.
	maxCachedName = 512
)

// entry is the cached result for one name. It never changes.
type entry[V any] struct {
	hash   uint64
	name   string
	values []V
}

// table has a power-of-two number of slots. A name is stored in one of the
// slots of its set, which has ways slots.
type table[V any] []atomic.Pointer[entry[V]]

func (t table[V]) set(hash uint64) table[V] {
	at := int(hash) & (len(t) - 1) &^ (ways - 1)
	return t[at : at+ways]
}

// cache holds match results. Reads take no lock; the owner must serialise
// writes. Call init before use.
type cache[V any] struct {
	seed   maphash.Seed
	slots  int // size at which the table stops growing
	victim int
	table  atomic.Pointer[table[V]]
}

// init sets the capacity to limit names, rounded up to a power of two.
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

// getBytes is like get but does not allocate a string for name.
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

// clear removes all entries.
func (c *cache[V]) clear() { c.table.Store(nil) }

// put stores e. If its set is full the table grows; at its final size an older
// entry of the set is replaced.
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

// insert stores e in a free slot of its set or replaces the entry of the same
// name. It reports false if the set is full.
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

// grown returns a table of twice the size with the same entries. Each set is
// split in two, so all entries fit.
func (t table[V]) grown() *table[V] {
	bigger := make(table[V], 2*len(t))
	for i := range t {
		if e := t[i].Load(); e != nil {
			bigger.insert(e)
		}
	}
	return &bigger
}
