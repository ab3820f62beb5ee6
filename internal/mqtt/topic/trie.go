package topic

import (
	"slices"
	"strings"
	"sync"
)

// DefaultCache is how many names a [Trie] remembers unless told otherwise.
const DefaultCache = 4096

// Trie holds values under topic filters and finds those that a name belongs
// to. It remembers the answers for recent names, so that the cost of a match
// does not depend on the number of filters. All methods are safe for
// concurrent use; a remembered name is answered without lock or allocation.
type Trie[V any] struct {
	mu    sync.Mutex // guards everything but reads of the cache
	root  node[V]
	next  uint64 // order of the next registration
	count int
	cache cache[V]
}

// NewTrie returns an empty trie that remembers at most about cache names, by
// default [DefaultCache] when it is 0 or less. The memory grows with use and
// is given back when the filters change.
func NewTrie[V any](cache int) *Trie[V] {
	if cache <= 0 {
		cache = DefaultCache
	}
	t := new(Trie[V])
	t.cache.init(cache)
	return t
}

// Add registers v under filter, a valid one, shared or not; a shared filter
// matches as its inner one. The same filter and value may be registered many
// times and are found as many times. remove takes this one registration away;
// calling it again does nothing. The error is an [*Error].
func (t *Trie[V]) Add(filter string, v V) (remove func(), err error) {
	_, inner, _, err := ParseShared(filter)
	if err != nil {
		return nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	order := t.next
	t.next++
	t.count++
	t.root.add(inner, registration[V]{order, v})
	t.cache.clear()
	return func() { t.remove(inner, order) }, nil
}

func (t *Trie[V]) remove(filter string, order uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.root.remove(filter, order) {
		return
	}
	t.count--
	t.cache.clear()
}

// Len returns how many registrations there are.
func (t *Trie[V]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Match returns the value of every registration whose filter name belongs to,
// as [Match] decides, each once and in the order they were registered; nil if
// there is none. The slice is shared: it must not be changed. A registration
// that is removed meanwhile may still be in it.
func (t *Trie[V]) Match(name string) []V {
	h := t.cache.hash(name)
	if e := t.cache.get(h, name); e != nil {
		return e.values
	}
	return t.find(h, strings.Clone(name)) // it may be part of a message
}

// MatchBytes is [Trie.Match] for a name that is still part of a frame. It
// does not keep name and copies it only when it is not remembered.
func (t *Trie[V]) MatchBytes(name []byte) []V {
	h := t.cache.hashBytes(name)
	if e := t.cache.getBytes(h, name); e != nil {
		return e.values
	}
	return t.find(h, string(name))
}

// Name returns a name that is still part of a frame as a string: the one that is
// remembered, or a copy.
func (t *Trie[V]) Name(name []byte) string {
	if e := t.cache.getBytes(t.cache.hashBytes(name), name); e != nil {
		return e.name
	}
	return string(name)
}

// find walks the filters and remembers the answer with the name, which so is
// kept. The walk visits a node at
// most once, so no name can make it cost more than the trie is large.
func (t *Trie[V]) find(h uint64, name string) []V {
	if name == "" {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	found := t.root.descend(name, !strings.HasPrefix(name, "$"), nil)
	slices.SortFunc(found, registration[V].compare)
	var values []V
	if len(found) > 0 {
		values = make([]V, len(found))
		for i, r := range found {
			values[i] = r.value
		}
	}
	t.cache.put(&entry[V]{hash: h, name: name, values: values})
	return values
}
