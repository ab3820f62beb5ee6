package outbox

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/due"
)

// memoryDelayed holds the delayed entries of a memory store, ordered by Due and Seq.
type memoryDelayed struct {
	list    []*Entry
	bytes   int64
	seq     uint64
	changed chan struct{} // never replaced: it is read without the lock
}

func (d *memoryDelayed) roomFor(n int, size int64, o *MemoryOptions) bool {
	return len(d.list)+n <= o.MaxDelayed && d.bytes+size <= o.MaxDelayedBytes
}

func byDue(a, b *Entry) int { return cmp.Or(a.Due.Compare(b.Due), cmp.Compare(a.Seq, b.Seq)) }

// add adds an entry, and returns its Seq.
func (d *memoryDelayed) add(e *Entry) uint64 {
	d.seq++
	e.Seq, e.Due = d.seq, time.UnixMilli(due.Milli(e.Due)) // without a reading of the monotonic clock
	at, _ := slices.BinarySearchFunc(d.list, e, byDue)
	d.list = slices.Insert(d.list, at, e)
	d.bytes += int64(e.Size())
	select {
	case d.changed <- struct{}{}:
	default:
	}
	return e.Seq
}

// next returns when the first entry is due; zero if there is none.
func (d *memoryDelayed) next() time.Time {
	if len(d.list) == 0 {
		return time.Time{}
	}
	return d.list[0].Due
}

// Release implements [Delayer].
func (m *memory) Release(_ context.Context, now time.Time, limit int) (int, time.Time, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, time.Time{}, ErrClosed
	}
	d := &m.delayed
	first := make([]due.First, 0, limit+1)
	for _, e := range d.list[:min(limit+1, len(d.list))] {
		first = append(first, due.First{Due: e.Due.UnixMilli(), Size: int64(e.Size())})
	}
	room := due.Room{Entries: m.live, MaxEntries: m.o.MaxEntries, Bytes: m.bytes, MaxBytes: m.o.MaxBytes}
	n, next := room.Movable(first, now, limit)
	for _, e := range d.list[:n] {
		d.bytes -= int64(e.Size())
		m.add(e, now)
	}
	d.list = slices.Delete(d.list, 0, n)
	return n, next, nil
}

// Cancel implements [Delayer].
func (m *memory) Cancel(_ context.Context, ids ...string) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, ErrClosed
	}
	m.delayed.list = slices.DeleteFunc(m.delayed.list, func(e *Entry) bool {
		if !slices.Contains(ids, e.ID) {
			return false
		}
		n++
		m.delayed.bytes -= int64(e.Size())
		return true
	})
	return n, nil
}

// Delayed implements [Delayer].
func (m *memory) Delayed(_ context.Context, after *Entry, limit int) ([]*Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, ErrClosed
	}
	at := 0
	if after != nil {
		var found bool
		if at, found = slices.BinarySearchFunc(m.delayed.list, after, byDue); found {
			at++
		}
	}
	var out []*Entry
	for _, e := range m.delayed.list[at:min(len(m.delayed.list), at+limit)] {
		c := *e
		out = append(out, &c)
	}
	return out, nil
}

// DelayedChanged implements [Delayer].
func (m *memory) DelayedChanged() <-chan struct{} { return m.delayed.changed }
