package outbox

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/optioncheck"
)

// MemoryOptions limits a store of [NewMemory]. The zero value means the defaults.
type MemoryOptions struct {
	// MaxEntries is the maximum number of waiting entries; default 10,000.
	MaxEntries int
	// MaxBytes is the maximum of their total [Entry.Size]; default 64 MiB.
	MaxBytes int64
	// MaxQuarantined is the maximum number of quarantined entries, and MaxQuarantinedBytes the
	// maximum of their total [Entry.Size]; defaults 10,000 and 64 MiB. Each key is limited to
	// a share of both, see [QuarantineUsage].
	MaxQuarantined      int
	MaxQuarantinedBytes int64
	// MaxDelayed is the maximum number of delayed entries, and MaxDelayedBytes the maximum of
	// their total [Entry.Size]; defaults 100,000 and 128 MiB.
	MaxDelayed      int
	MaxDelayedBytes int64
}

// NewMemory returns a store for tests and development: its entries are lost when the process
// ends. It fails if an option is negative.
func NewMemory(o MemoryOptions) (Store, error) {
	err := optioncheck.NotNegative("outbox: memory", map[string]int64{
		"MaxEntries": int64(o.MaxEntries), "MaxBytes": o.MaxBytes,
		"MaxQuarantined": int64(o.MaxQuarantined), "MaxQuarantinedBytes": o.MaxQuarantinedBytes,
		"MaxDelayed": int64(o.MaxDelayed), "MaxDelayedBytes": o.MaxDelayedBytes,
	}, nil)
	if err != nil {
		return nil, err
	}
	if o.MaxEntries == 0 {
		o.MaxEntries = 10_000
	}
	if o.MaxBytes == 0 {
		o.MaxBytes = 64 << 20
	}
	if o.MaxQuarantined == 0 {
		o.MaxQuarantined = DefaultMaxQuarantined
	}
	if o.MaxQuarantinedBytes == 0 {
		o.MaxQuarantinedBytes = DefaultMaxQuarantinedBytes
	}
	o.MaxDelayed = cmp.Or(o.MaxDelayed, DefaultMaxDelayed)
	o.MaxDelayedBytes = cmp.Or(o.MaxDelayedBytes, DefaultMaxDelayedBytes)
	m := &memory{o: o, appended: make(chan struct{}, 1)}
	m.delayed.changed = make(chan struct{}, 1)
	m.aside.usage = NewQuarantineUsage(o.MaxQuarantined, o.MaxQuarantinedBytes)
	return m, nil
}

// memory keeps entries in a slice ordered by Seq. A deleted entry is replaced by nil, and the
// slice is compacted when most of it is nil, so that deleting in any order is cheap.
type memory struct {
	OneRelay
	o        MemoryOptions
	appended chan struct{}

	mu      sync.Mutex
	closed  bool
	seq     uint64
	entries []*Entry
	seqs    []uint64 // Seq of entries, including deleted ones
	live    int
	bytes   int64
	aside   memoryQuarantine
	delayed memoryDelayed
}

func (m *memory) Append(_ context.Context, entries ...*Entry) error {
	now := time.Now()
	var n, later int
	var size, laterSize int64
	for _, e := range entries {
		if err := e.Validate(); err != nil {
			return err
		}
		if e.IsDelayed(now) {
			later, laterSize = later+1, laterSize+int64(e.Size())
		} else {
			n, size = n+1, size+int64(e.Size())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case m.closed:
		return ErrClosed
	case m.live+n > m.o.MaxEntries || m.bytes+size > m.o.MaxBytes:
		return ErrFull
	case later > 0 && !m.delayed.roomFor(later, laterSize, &m.o):
		return ErrDelayedFull
	}
	for _, e := range entries {
		c := *e
		c.Payload = bytes.Clone(e.Payload) // the caller may reuse its buffer
		if e.IsDelayed(now) {
			e.Seq, e.Accepted = m.delayed.add(&c), now
		} else {
			e.Seq, e.Accepted = m.add(&c, now), now
		}
	}
	return nil
}

// add adds a waiting entry, and returns its Seq.
func (m *memory) add(e *Entry, now time.Time) uint64 {
	m.seq++
	e.Seq, e.Accepted, e.Due = m.seq, now, time.Time{}
	m.entries, m.seqs = append(m.entries, e), append(m.seqs, e.Seq)
	m.live, m.bytes = m.live+1, m.bytes+int64(e.Size())
	m.hint()
	return e.Seq
}

// Waiting implements [Counter].
func (m *memory) Waiting() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.live
}

func (m *memory) hint() {
	select {
	case m.appended <- struct{}{}:
	default:
	}
}

func (m *memory) Read(_ context.Context, after uint64, limit int, without ...string) ([]*Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	i, found := slices.BinarySearch(m.seqs, after)
	if found {
		i++
	}
	var out []*Entry
	for ; i < len(m.entries) && len(out) < limit; i++ {
		if e := m.entries[i]; e != nil && !slices.Contains(without, e.Order()) {
			c := *e
			out = append(out, &c)
		}
	}
	return out, nil
}

// Peek implements [Store].
func (m *memory) Peek(ctx context.Context, after uint64, limit int) ([]*Entry, error) {
	return m.Read(ctx, after, limit)
}

func (m *memory) Delete(_ context.Context, seqs ...uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	for _, seq := range seqs {
		m.remove(seq)
	}
	m.squeeze()
	return nil
}

func (m *memory) remove(seq uint64) {
	i, found := slices.BinarySearch(m.seqs, seq)
	if !found || m.entries[i] == nil {
		return
	}
	m.bytes -= int64(m.entries[i].Size())
	m.live--
	m.entries[i] = nil
}

func (m *memory) squeeze() {
	for len(m.entries) > 0 && m.entries[0] == nil {
		m.entries, m.seqs = m.entries[1:], m.seqs[1:]
	}
	if len(m.entries) < 64 || m.live > len(m.entries)/2 {
		return
	}
	entries, seqs := make([]*Entry, 0, 2*m.live), make([]uint64, 0, 2*m.live)
	for _, e := range m.entries {
		if e != nil {
			entries, seqs = append(entries, e), append(seqs, e.Seq)
		}
	}
	m.entries, m.seqs = entries, seqs
}

func (m *memory) Appended() <-chan struct{} { return m.appended }

func (m *memory) Stats(context.Context) (Stats, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Stats{}, ErrClosed
	}
	s := m.stats()
	if m.live > 0 { // after squeeze the first entry is not nil
		s.Oldest = m.entries[0].Accepted
	}
	return s, nil
}

func (m *memory) stats() Stats {
	return Stats{
		Depth: m.live, Bytes: m.bytes, MaxDepth: m.o.MaxEntries, MaxBytes: m.o.MaxBytes,
		Quarantined: len(m.aside.list), MaxQuarantined: m.o.MaxQuarantined,
		Delayed: len(m.delayed.list), DelayedBytes: m.delayed.bytes, NextDue: m.delayed.next(),
		MaxDelayed: m.o.MaxDelayed, MaxDelayedBytes: m.o.MaxDelayedBytes,
	}
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	m.closed, m.entries, m.seqs, m.aside = true, nil, nil, memoryQuarantine{}
	m.delayed.list, m.delayed.bytes = nil, 0
	return nil
}
