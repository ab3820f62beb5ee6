package topic

import (
	"slices"
	"strings"
	"sync"
)

// DefaultCache is the default number of names that a [Trie] caches.
const DefaultCache = 4096

// Trie holds values under topic filters and finds the values whose filters
// match a name. It caches the results for recent names, so that the cost of a
// match does not depend on the number of filters. All methods are safe for
// concurrent use. A cached result is returned without locking or allocating.
type Trie[V any] struct {
	mu    sync.Mutex // guards everything except reads of the cache
	root  node[V]
	next  uint64 // order of the next registration
	count int
	cache cache[V]
}

// NewTrie returns an empty trie that caches about cache names, or
// [DefaultCache] if it is 0 or less. The cache grows with use and is released
// when the filters change.
func NewTrie[V any](cache int) *Trie[V] {
	if cache <= 0 {
		cache = DefaultCache
	}
	t := new(Trie[V])
	t.cache.init(cache)
	return t
}

// Add registers v under a filter, which may be shared; a shared filter matches
// as its inner filter does. The same filter and value may be registered several
// times and are then found several times. remove removes this one registration;
// further calls do nothing. The error is an [*Error].
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

// Len returns the number of registrations.
func (t *Trie[V]) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Match returns the value of every registration whose filter matches name, see
// the function [Match], in the order of registration, or nil if there is none.
// The slice is shared and must not be changed. It may still contain a
// registration that is being removed.
func (t *Trie[V]) Match(name string) []V {
	h := t.cache.hash(name)
	if e := t.cache.get(h, name); e != nil {
		return e.values
	}
	return t.find(h, strings.Clone(name)) // name may share the memory of a message
}

// MatchBytes is like [Trie.Match] for a name that is part of a frame. It does
// not keep name and copies it only if it is not cached.
func (t *Trie[V]) MatchBytes(name []byte) []V {
	h := t.cache.hashBytes(name)
	if e := t.cache.getBytes(h, name); e != nil {
		return e.values
	}
	return t.find(h, string(name))
}

// Name returns a name that is part of a frame as a string: the cached string if
// there is one, or else a copy.
func (t *Trie[V]) Name(name []byte) string {
	if e := t.cache.getBytes(t.cache.hashBytes(name), name); e != nil {
		return e.name
	}
	return string(name)
}

// find searches the filters and caches the result under name, which it keeps.
// It visits a node at most once, so the cost for any name is limited by the
// size of the trie.
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
