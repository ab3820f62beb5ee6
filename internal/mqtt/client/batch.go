package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
)

// Batch has a subscription's messages handled many at a time. The handler of
// the subscription gets those singly that failed in a batch, and those behind
// them.
type Batch struct {
	// MaxSize is the most messages of a batch.
	MaxSize int
	// MaxWait is how long the first message waits for the last.
	MaxWait time.Duration
	// Handler handles messages in the order of arrival. An entry in errs is the
	// error of the message at that place; what Handler returns is the error of
	// all those without an entry.
	Handler func(ctx context.Context, ds []*Delivery, errs []error) error
}

func (b *Batch) validate() error {
	var errs []error
	if b.MaxSize < 1 {
		errs = append(errs, fmt.Errorf("batches of at most %d messages", b.MaxSize))
	}
	if b.MaxWait < 0 {
		errs = append(errs, fmt.Errorf("batches within %v", b.MaxWait))
	}
	if b.Handler == nil {
		errs = append(errs, errors.New("handler of batches is nil"))
	}
	return errors.Join(errs...)
}

// batcher collects a subscription's messages, and is the task that handles
// them: one batch at a time, in the order of arrival. It holds no worker while
// messages wait for others.
type batcher struct {
	run *run
	at  *subscriber
	sub *Subscription
	key uint64
	// enough messages wait for no more: a batch is full, or the broker of MQTT 5 sends
	// none before these are acknowledged.
	enough int

	mu       sync.Mutex
	waiting  []batched // oldest first
	timer    *time.Timer
	queued   bool // is with the scheduler
	flushing bool
	hurried  bool           // nothing more arrives before these are handled
	alone    map[uint64]int // messages of a key that are handled singly now

	// Used by the task only.
	current []*Delivery
	errs    []error
	settled int             // how many of current were settled
	noted   int             // attempts of the first so many were recorded
	wait    bool            // those that failed together wait for another batch
	back    []batched       // these
	fault   error           // of all without an entry in errs
	since   uint32          // the epoch of the breaker when they were handled
	gone    []delivery.Held // memory for release
	started time.Time
}

// batched is a message that waits for its batch.
type batched struct {
	*Delivery
	key uint64
	at  time.Time
}

var _ delivery.Task = (*batcher)(nil)

// add is called on the read loop, which counts the message against the bounds of
// the queue until it is settled.
func (b *batcher) add(d *Delivery, key uint64) {
	a := batched{d, key, time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.waiting = append(b.waiting, a)
	b.schedule()
}

// schedule has the messages handled that wait, now or when it is time. The mutex
// is held.
func (b *batcher) schedule() {
	if b.queued || len(b.waiting) == 0 {
		return
	}
	if after := b.due(); after > 0 {
		b.arm(after)
		return
	}
	b.queued = true
	b.at.sched.Submit(delivery.Item{Task: b, Lane: b.sub.lane, Key: b.key, Must: true})
}

// due is how long the next batch may wait for more. The mutex is held.
func (b *batcher) due() time.Duration {
	if b.flushing || b.hurried || len(b.waiting) >= b.enough {
		return 0
	}
	return b.sub.Batch.MaxWait - time.Since(b.waiting[0].at)
}

// arm sets the timer, unless it runs. The mutex is held.
func (b *batcher) arm(after time.Duration) {
	if b.timer != nil {
		return
	}
	b.timer = time.AfterFunc(after, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.timer = nil
		b.schedule()
	})
}

// flush has everything handled at once that waits, and that is still to come.
func (b *batcher) flush() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flushing = true
	b.disarm()
	b.schedule()
}

// hurry has handled what waits, without waiting for more: the queue is full.
func (b *batcher) hurry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.hurried = len(b.waiting) > 0
	b.disarm()
	b.schedule()
}

// disarm stops the timer. The mutex is held.
func (b *batcher) disarm() {
	if b.timer != nil {
		b.timer.Stop()
		b.timer = nil
	}
}

func (b *batcher) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting)
}

// batchers are those of a session.
type batchers struct {
	mu  sync.Mutex
	all []*batcher
}

func (t *batchers) add(b *batcher) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.all = append(t.all, b)
}

// remove forgets the batcher b of an unregistered subscription; b may be nil. Waiting
// messages are handled at once, as are those that a read loop still adds.
func (t *batchers) remove(b *batcher) {
	if b == nil {
		return
	}
	t.mu.Lock()
	t.all = slices.DeleteFunc(t.all, func(x *batcher) bool { return x == b })
	t.mu.Unlock()
	b.flush()
}

func (t *batchers) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.all {
		b.flush()
	}
}

func (t *batchers) hurry() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.all {
		b.hurry()
	}
}

func (t *batchers) count() (n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, b := range t.all {
		n += b.count()
	}
	return n
}

func newBatcher(r *run, s *Subscription) *batcher {
	if s.Batch == nil {
		return nil
	}
	b := &batcher{
		run: r, at: s.at, sub: s, alone: make(map[uint64]int),
		key:    s.at.sched.Key("batch\x00" + s.Filter), // no topic has a NUL
		enough: min(s.Batch.MaxSize, r.client.cfg.receiveMaximum()),
	}
	s.at.batchers.add(b)
	return b
}
