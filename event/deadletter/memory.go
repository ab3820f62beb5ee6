package deadletter

import (
	"context"
	"errors"
	"slices"
	"sort"
	"sync"
	"time"
)

// DefaultPage is the size of a page when [Query.Limit] is 0.
const DefaultPage = 100

// Memory keeps letters in memory, for tests and development: they end with the
// process. It parks.
type Memory struct {
	max int

	mu      sync.Mutex
	letters map[string]*Letter
	ids     []string // of letters, in order
	filters map[string][]string
	claims  Claims
}

var (
	_ Store        = (*Memory)(nil)
	_ Claimer      = (*Memory)(nil)
	_ FilterMemory = (*Memory)(nil)
)

// NewMemory returns a store with room for this many letters; 0 is no bound.
func NewMemory(bound int) *Memory {
	return &Memory{max: max(bound, 0), letters: make(map[string]*Letter), filters: make(map[string][]string)}
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
	if old == nil && m.max > 0 && len(m.ids) >= m.max {
		return ErrFull
	}
	if old == nil {
		i, _ := slices.BinarySearch(m.ids, l.ID)
		m.ids = slices.Insert(m.ids, i, l.ID)
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
	from := sort.Search(len(m.ids), func(i int) bool { return m.ids[i] > q.After })
	for _, id := range m.ids[from:] {
		if len(page) == q.limit() {
			break
		}
		if l := m.letters[id]; q.Matches(l) {
			page = append(page, l.clone())
		}
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
	s := Stats{Max: m.max}
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

// Matches reports whether a letter has the State, Owner and Filter that are
// asked for, was over at OverAt, and comes after After.
func (q Query) Matches(l *Letter) bool {
	return (q.State == "" || q.State == l.State) && (q.Owner == "" || q.Owner == l.Owner) &&
		(q.Filter == "" || q.Filter == l.Filter) && (q.OverAt.IsZero() || l.Over(q.OverAt)) && l.ID > q.After
}

func (q Query) limit() int {
	if q.Limit <= 0 {
		return DefaultPage
	}
	return q.Limit
}

// clone copies what a caller may change.
func (l *Letter) clone() *Letter {
	c := *l
	c.Payload, c.CorrelationData, c.Headers = slices.Clone(l.Payload), slices.Clone(l.CorrelationData), slices.Clone(l.Headers)
	return &c
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
