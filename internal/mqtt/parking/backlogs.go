package parking

import (
	"slices"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// Backlogs are those of a session. They bound how many parked messages are handled
// at once, so that new ones always find a worker.
type Backlogs struct {
	parking *Parking
	sched   *delivery.Scheduler

	mu     sync.Mutex
	all    []*Backlog
	turns  turns
	closed bool
}

// Add adds a backlog; from then on its subscription receives messages. A nil backlog is
// ignored.
func (b *Backlogs) Add(l *Backlog) {
	if l == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, l)
}

// Remove ends the retries of a subscription that was removed. A nil backlog is ignored.
func (b *Backlogs) Remove(l *Backlog) {
	if l == nil {
		return
	}
	b.mu.Lock()
	b.all = slices.DeleteFunc(b.all, func(x *Backlog) bool { return x == l })
	b.mu.Unlock()
	l.close()
}

func (b *Backlogs) list() []*Backlog {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.all)
}

// Close ends all retries.
func (b *Backlogs) Close() {
	b.mu.Lock()
	b.closed, b.turns.of, b.turns.next = true, nil, nil
	b.mu.Unlock()
	for _, l := range b.list() {
		l.close()
	}
}

// Count returns how many messages are parked, and how many keys they hold.
func (b *Backlogs) Count() (messages, keys int) {
	for _, l := range b.list() {
		messages += int(l.count.Load())
		l.mu.Lock()
		keys += len(l.keys)
		l.mu.Unlock()
	}
	return messages, keys
}

// enqueue has a key handled, now or when there is a turn for it.
func (b *Backlogs) enqueue(k *parkedKey) {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return
	}
	b.turns.add(k)
	b.mu.Unlock()
	b.submit()
}

// giveBack ends the turn of a key.
func (b *Backlogs) giveBack(k *parkedKey) {
	b.mu.Lock()
	b.turns.end(k)
	b.mu.Unlock()
	b.submit()
}

// submit has the keys handled that there are turns for.
func (b *Backlogs) submit() {
	for {
		b.mu.Lock()
		k := b.turns.take()
		b.mu.Unlock()
		if k == nil {
			return
		}
		b.sched.Submit(delivery.Item{
			Task: k, Lane: k.of.Lane, Key: k.order, Origin: b.sched.Key(k.origin), Shares: k.of.Shares, Must: true,
		})
	}
}
