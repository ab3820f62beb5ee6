package deadletter

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"
	"time"
)

// Default page size when [Query.Limit] or [Query.Bytes] is 0.
const (
	DefaultPage      = 100
	DefaultPageBytes = 8 << 20
)

// Memory is a [Store] in memory, for tests and development. It supports parking. Its letters
// are lost when the process ends. It is safe for concurrent use.
type Memory struct {
	bounds Bounds
	usage  *Usage

	mu      sync.Mutex
	letters map[string]*Letter
	ids     []string // ids of letters, sorted
	filters map[string][]string
	claims  Claims
}

var (
	_ Store        = (*Memory)(nil)
	_ Claimer      = (*Memory)(nil)
	_ FilterMemory = (*Memory)(nil)
)

// NewMemory returns a store for at most bound letters, with the default share for each origin,
// see [Bounds]; 0 means no limit.
func NewMemory(bound int) *Memory { return NewBoundedMemory(Bounds{Letters: max(bound, 0)}) }

// NewBoundedMemory returns a store with these bounds. Zero fields are not replaced by
// defaults.
func NewBoundedMemory(b Bounds) *Memory {
	return &Memory{bounds: b, usage: NewUsage(b), letters: make(map[string]*Letter), filters: make(map[string][]string)}
}

var errNoID = errors.New("deadletter: letter without an id")

// Put implements [Store].
func (m *Memory) Put(_ context.Context, l *Letter) error {
	if l == nil || l.ID == "" {
		return errNoID
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.letters[l.ID]
	if old == nil {
		if err := m.usage.Take(l.Origin(), l.Size()); err != nil {
			return err
		}
		i, _ := slices.BinarySearch(m.ids, l.ID)
		m.ids = slices.Insert(m.ids, i, l.ID)
	} else {
		m.usage.Add(old.Origin(), -1, -old.Size())
		m.usage.Add(l.Origin(), 1, l.Size())
	}
	m.letters[l.ID] = l.clone()
	m.claims.End(l.ID)
	return nil
}

// Claim implements [Claimer].
func (m *Memory) Claim(_ context.Context, id string, d time.Duration) (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.letters[id] != nil && m.claims.Take(id, d), nil
}

// Release implements [Claimer].
func (m *Memory) Release(_ context.Context, id string) error {
	m.claims.End(id)
	return nil
}

// Get implements [Store].
func (m *Memory) Get(_ context.Context, id string) (*Letter, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l := m.letters[id]; l != nil {
		return l.clone(), nil
	}
	return nil, ErrNotFound
}

// List implements [Store].
func (m *Memory) List(_ context.Context, q Query) (page []*Letter, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from, full := sort.Search(len(m.ids), func(i int) bool { return m.ids[i] > q.After }), q.Full()
	for _, id := range m.ids[from:] {
		l := m.letters[id]
		if !q.Matches(l) {
			continue
		}
		if full(l) {
			break
		}
		page = append(page, l.clone())
	}
	return page, nil
}

// Delete implements [Store].
func (m *Memory) Delete(_ context.Context, ids ...string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, id := range ids {
		if i, ok := slices.BinarySearch(m.ids, id); ok {
			m.ids = slices.Delete(m.ids, i, i+1)
			m.usage.Add(m.letters[id].Origin(), -1, -m.letters[id].Size())
			delete(m.letters, id)
			m.claims.End(id)
		}
	}
	return nil
}

// Stats implements [Store].
func (m *Memory) Stats(context.Context) (Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := Stats{Max: m.bounds.Letters, Bytes: m.usage.All().Bytes, MaxBytes: m.bounds.Bytes}
	for _, l := range m.letters {
		if l.State == Parked {
			s.Parked++
		} else {
			s.Dead++
		}
	}
	return s, nil
}

// Parks implements [Store].
func (m *Memory) Parks() bool { return true }

// String describes the store.
func (m *Memory) String() string { return "memory" }

// Matches reports whether a letter has the State, Owner, Filter and Fingerprint of the query if
// they are set, had exceeded its time at OverAt, and comes after After.
func (q Query) Matches(l *Letter) bool {
	return (q.State == "" || q.State == l.State) && (q.Owner == "" || q.Owner == l.Owner) &&
		(q.Filter == "" || q.Filter == l.Filter) && (q.OverAt.IsZero() || l.Over(q.OverAt)) && l.ID > q.After &&
		(q.Fingerprint == "" || q.Fingerprint == l.Fingerprint())
}

// Full returns a function for building one page. It must be called with each letter before it
// is added, and reports whether the page has no room for it.
func (q Query) Full() func(l *Letter) bool {
	left, bytes := q.Limit, q.Bytes
	if left <= 0 {
		left = DefaultPage
	}
	if bytes <= 0 {
		bytes = DefaultPageBytes
	}
	first := true
	return func(l *Letter) bool {
		left, bytes = left-1, bytes-l.Size()
		full := left < 0 || bytes < 0 && !first
		first = false
		return full
	}
}

// Filters implements [FilterMemory].
func (m *Memory) Filters(_ context.Context, clientID string) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.filters[clientID]), nil
}

// SetFilters implements [FilterMemory].
func (m *Memory) SetFilters(_ context.Context, clientID string, filters []string) error {
	filters = slices.Compact(slices.Sorted(slices.Values(filters)))
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(filters) == 0 {
		delete(m.filters, clientID)
		return nil
	}
	m.filters[clientID] = filters
	return nil
}
