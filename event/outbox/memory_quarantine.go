package outbox

import (
	"context"
	"slices"
	"time"
)

// maxReason is the number of bytes of a reason that are kept.
const maxReason = 1024

// memoryQuarantine holds the quarantined entries of a memory store, ordered by Seq.
type memoryQuarantine struct {
	list  []Quarantined
	usage *QuarantineUsage
}

func (q *memoryQuarantine) find(seq uint64) (int, bool) {
	return slices.BinarySearchFunc(q.list, seq, func(x Quarantined, seq uint64) int {
		switch {
		case x.Seq < seq:
			return -1
		case x.Seq > seq:
			return 1
		}
		return 0
	})
}

// take removes and returns an entry, or returns nil if it does not exist.
func (q *memoryQuarantine) take(seq uint64) *Entry {
	i, found := q.find(seq)
	if !found {
		return nil
	}
	e := q.list[i].Entry
	q.list = slices.Delete(q.list, i, i+1)
	q.usage.Add(e.Order(), -1, -int64(e.Size()))
	return e
}

func (m *memory) Quarantine(_ context.Context, seq uint64, reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	i, found := slices.BinarySearch(m.seqs, seq)
	if !found || m.entries[i] == nil {
		return nil
	}
	e := m.entries[i]
	if err := m.aside.usage.Take(e.Order(), int64(e.Size())); err != nil {
		return err
	}
	m.remove(seq)
	m.squeeze()
	at, _ := m.aside.find(seq)
	m.aside.list = slices.Insert(m.aside.list, at, Quarantined{
		Seq: seq, Time: time.Now(), Reason: reason[:min(len(reason), maxReason)], Entry: e,
	})
	return nil
}

func (m *memory) Quarantined(_ context.Context, after uint64, limit int) ([]Quarantined, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	i, found := m.aside.find(after)
	if found {
		i++
	}
	out := slices.Clone(m.aside.list[i:min(len(m.aside.list), i+limit)])
	for i := range out {
		e := *out[i].Entry
		out[i].Entry = &e
	}
	return out, nil
}

func (m *memory) RetryQuarantined(_ context.Context, seqs ...uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	seqs = slices.Compact(slices.Sorted(slices.Values(seqs)))
	n, size := 0, int64(0)
	for _, seq := range seqs {
		if i, found := m.aside.find(seq); found {
			n, size = n+1, size+int64(m.aside.list[i].Entry.Size())
		}
	}
	if m.live+n > m.o.MaxEntries || m.bytes+size > m.o.MaxBytes {
		return ErrFull
	}
	for _, seq := range seqs {
		if e := m.aside.take(seq); e != nil {
			m.putBack(e)
		}
	}
	m.hint()
	return nil
}

func (m *memory) putBack(e *Entry) {
	i, hole := slices.BinarySearch(m.seqs, e.Seq)
	if hole {
		m.entries[i] = e
	} else {
		m.entries, m.seqs = slices.Insert(m.entries, i, e), slices.Insert(m.seqs, i, e.Seq)
	}
	m.live++
	m.bytes += int64(e.Size())
}

func (m *memory) DeleteQuarantined(_ context.Context, seqs ...uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	for _, seq := range seqs {
		m.aside.take(seq)
	}
	return nil
}

// Hold and Yield do nothing, because no other process can use this memory.
func (m *memory) Hold(context.Context) (time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return time.Time{}, ErrClosed
	}
	return time.Time{}, nil
}

func (m *memory) Yield(context.Context) error { return nil }
