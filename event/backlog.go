package event

import (
	"sync"
	"time"
)

// Backlog bounds, in bytes, what a process publishes to itself: the messages that it
// has sent, subscribes to, and has not handled. Without a bound they wait at the
// broker, in whose memory nobody sees them, for as long as handlers are slower than
// publishers. It is a hook of the subscriber, which tells it what is handled.
//
// It counts by topic, payload and topic name of each message. Messages that others
// publish on the same topics make it count too little, never too much. A message
// that never comes, because the broker dropped it, is forgotten when nothing was
// handled for 10 s and nothing is waiting to be. Safe for concurrent use.
type Backlog struct {
	limit int64

	mu      sync.Mutex
	subs    Subscriptions // nil bounds nothing
	idle    func() bool
	topics  map[string]int64
	bytes   int64
	handled time.Time // when something last was
	refused bool      // somebody waits for room
	room    []func()
}

var (
	_ HandleHook     = (*Backlog)(nil)
	_ DeadLetterHook = (*Backlog)(nil)
	_ ParkHook       = (*Backlog)(nil)
)

// backlogForget is after how long without a handled message an idle subscriber is
// taken to have handled everything.
const backlogForget = 10 * time.Second

// NewBacklog returns one of so many bytes that bounds nothing before Follow.
func NewBacklog(limit int64) *Backlog {
	return &Backlog{limit: limit, topics: make(map[string]int64)}
}

// Follow sets whose subscriptions count, and what reports whether the subscriber has
// nothing that waits for a handler, or runs. nil subscriptions are those of another
// process, of which nothing is known here: then nothing is bounded.
func (b *Backlog) Follow(subs Subscriptions, idle func() bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs, b.idle, b.handled = subs, idle, time.Now()
}

// Take counts a message that is about to be sent, and reports whether there is room
// for it. One alone has room, whatever its size, and so has one that this process
// does not subscribe to, which is not counted. Return takes back what is not sent
// after all. A nil Backlog bounds nothing.
func (b *Backlog) Take(topic string, size int) bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	subs := b.subs
	b.mu.Unlock()
	if subs == nil || !subs.Subscribes(topic) {
		return true
	}
	n := weight(topic, size)
	if b.take(topic, n) {
		return true
	}
	if b.forget(subs) {
		return b.take(topic, n)
	}
	return false
}

func (b *Backlog) take(topic string, n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes > 0 && b.bytes+n > b.limit {
		b.refused = true
		return false
	}
	b.topics[topic] += n
	b.bytes += n
	return true
}

// forget reports whether it was time to begin anew.
func (b *Backlog) forget(subs Subscriptions) bool {
	b.mu.Lock()
	since, idle := b.handled, b.idle
	b.mu.Unlock()
	if time.Since(since) < backlogForget || !subs.Granted().All || idle == nil || !idle() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.handled != since {
		return false
	}
	clear(b.topics)
	b.bytes, b.handled = 0, time.Now()
	return true
}

// Return takes back a message that Take counted: it was not sent.
func (b *Backlog) Return(topic string, size int) {
	if b != nil {
		b.finish(topic, size, false)
	}
}

// Bytes is how much is counted now.
func (b *Backlog) Bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// OnRoom has f called when there is room again after Take refused a message. f must
// return soon.
func (b *Backlog) OnRoom(f func()) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.room = append(b.room, f)
}

// OnHandle implements [HandleHook].
func (b *Backlog) OnHandle(info HandleInfo) {
	if info.Err == nil {
		b.finish(info.Topic, info.Size, true)
	}
}

// OnDeadLetter implements [DeadLetterHook].
func (b *Backlog) OnDeadLetter(info DeadLetterInfo) { b.finish(info.Topic, info.Size, true) }

// OnPark implements [ParkHook].
func (b *Backlog) OnPark(info ParkInfo) { b.finish(info.Topic, info.Size, true) }

// finish takes a message off the count, as far as there is one of its topic. Who
// waits for room is told when an eighth of the limit is free, so that not each
// message wakes it.
func (b *Backlog) finish(topic string, size int, handled bool) {
	b.mu.Lock()
	if handled {
		b.handled = time.Now()
	}
	have := b.topics[topic]
	n := min(have, weight(topic, size))
	b.bytes -= n
	if have -= n; have > 0 {
		b.topics[topic] = have
	} else {
		delete(b.topics, topic)
	}
	var tell []func()
	if b.refused && b.bytes <= b.limit-b.limit/8 {
		b.refused, tell = false, b.room
	}
	b.mu.Unlock()
	for _, f := range tell {
		f()
	}
}

func weight(topic string, size int) int64 { return int64(len(topic) + size) }
