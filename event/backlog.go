package event

import (
	"sync"
	"time"
)

// Backlog limits how many bytes of its own messages a process may have outstanding: messages
// that it published to topics that it subscribes to itself, and that it has not handled yet.
// Without a limit, these messages pile up unseen in the memory of the broker when the
// publishers are faster than the handlers. Register the Backlog as a hook of the subscriber,
// so that it learns which messages were handled.
//
// The size of a message is the length of its topic name and payload. Messages that other
// clients publish on the same topics make the count too low, never too high. If the broker
// drops a message, its bytes are released when no message was handled for 10 s and none is
// waiting for a handler. A Backlog is safe for concurrent use.
type Backlog struct {
	limit int64

	mu      sync.Mutex
	subs    Subscriptions // nil: no limit
	idle    func() bool
	topics  map[string]int64
	bytes   int64
	handled time.Time // when a message was last handled
	refused bool      // Take refused a message since the last call of the OnRoom functions
	room    []func()
}

var (
	_ HandleHook     = (*Backlog)(nil)
	_ DeadLetterHook = (*Backlog)(nil)
	_ ParkHook       = (*Backlog)(nil)
)

// backlogForget is how long an idle subscriber has to handle nothing before everything counts
// as handled.
const backlogForget = 10 * time.Second

// NewBacklog returns a Backlog with a limit in bytes. It limits nothing until Follow is
// called.
func NewBacklog(limit int64) *Backlog {
	return &Backlog{limit: limit, topics: make(map[string]int64)}
}

// Follow sets the subscriptions whose topics are counted, and a function that reports whether
// the subscriber has no message queued or running. With nil subscriptions nothing is limited:
// the messages are then handled by another process, whose progress is unknown here.
func (b *Backlog) Follow(subs Subscriptions, idle func() bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subs, b.idle, b.handled = subs, idle, time.Now()
}

// Take counts a message that is about to be sent and reports whether there is room for it. A
// message on a topic that this process does not subscribe to is always accepted and not
// counted. If nothing else is outstanding, a message is accepted whatever its size. Call
// Return if an accepted message is not sent. A nil Backlog limits nothing.
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

// forget resets the count if the subscriber has been idle for backlogForget, and reports
// whether it did.
func (b *Backlog) forget(subs Subscriptions) bool {
	b.mu.Lock()
	since, idle := b.handled, b.idle
	b.mu.Unlock()
	if time.Since(since) < backlogForget || !subs.SubscriptionState().Granted || idle == nil || !idle() {
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

// Return removes a message from the count that Take accepted and that was not sent.
func (b *Backlog) Return(topic string, size int) {
	if b != nil {
		b.finish(topic, size, false)
	}
}

// Bytes returns the number of bytes outstanding.
func (b *Backlog) Bytes() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// OnRoom registers f, which is called when there is room again after Take refused a message. f
// must return quickly.
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

// finish removes a message from the count, at most as much as is counted for its topic. The
// functions of OnRoom are called only once an eighth of the limit is free, so that they do not
// run for each message.
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
