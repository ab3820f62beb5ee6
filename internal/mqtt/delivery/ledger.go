package delivery

import (
	"sync"
	"sync/atomic"
)

// Ack names a message that may now be acknowledged to the broker: PUBACK for
// QoS 1, PUBREC for QoS 2.
type Ack struct {
	// PacketID is the packet identifier the broker gave the message.
	PacketID uint16
	// QoS is 1 or 2, as received.
	QoS byte
}

// Ledger keeps the messages of one connection in receive order and releases
// their acknowledgements in that order: never past a message that is not done,
// never twice, never on another connection [MQTT-4.6.0-2] [MQTT-4.6.0-3]. All
// methods are safe for concurrent use. Create one per connection with
// [NewLedger] and retire it when the connection is gone.
type Ledger struct {
	wake    func()
	relaxed bool
	open    atomic.Int64          // entries added and not taken
	oldest  atomic.Pointer[Entry] // strict: the open entry that the others wait for

	mu      sync.Mutex
	retired bool
	order   ring[*Entry] // strict: open entries in receive order
	ready   []*Entry     // relaxed: open entries that are done
}

// Entry is one received message in a [Ledger], which adds it: memory of the
// caller, of zero value before. It is open until its acknowledgement was taken,
// and must not be used again for another message: a late Done must not
// acknowledge a stranger.
type Entry struct {
	ledger atomic.Pointer[Ledger]
	done   atomic.Bool

	// Guarded by the mutex of the ledger that holds the entry.
	id    uint16
	qos   byte
	state entryState
}

type entryState uint8

const (
	entryApart  entryState = iota // in no ledger that lives
	entryListed                   // waits in order, or may still be put into ready
	entryReady                    // is in ready
	entryTaken                    // its acknowledgement is on its way
)

// NewLedger returns an empty ledger for a new connection.
//
// wake is called when there is something to [Ledger.Take], on the goroutine of a
// caller of [Entry.Done] or [Ledger.Adopt] and without a lock held; also more
// often, and by several at a time. It must not block. A nil wake does nothing.
//
// With relaxed an acknowledgement is released as soon as its message is done,
// for MQTT 3.1.1 brokers that are known to take any order; a slow message then
// holds up no other.
func NewLedger(relaxed bool, wake func()) *Ledger {
	if wake == nil {
		wake = func() {}
	}
	return &Ledger{wake: wake, relaxed: relaxed}
}

// Add appends a received QoS 1 or QoS 2 message. On a retired ledger it is never
// acknowledged, and can be adopted.
func (l *Ledger) Add(e *Entry, id uint16, qos byte) {
	e.ledger.Store(l)
	l.mu.Lock()
	l.list(e, id, qos)
	l.mu.Unlock()
}

// Adopt moves the still open entry of a retired ledger to the end of l, for a
// redelivery of the same message: the work goes on (or is already done) and its
// acknowledgement leaves on l, at this position, as packet id.
//
// It reports false and changes nothing when the entry was acknowledged already
// or its ledger is not retired; the caller then treats the redelivery as a new
// message.
func (l *Ledger) Adopt(e *Entry, id uint16, qos byte) bool {
	if !e.leave(l) {
		return false
	}
	l.enter(e, id, qos)
	return true
}

// Take appends the messages that may be acknowledged now to acks, in receive
// order, each once: they are to be acknowledged on this connection, in this
// order. Nothing is taken of a retired ledger.
func (l *Ledger) Take(acks []Ack) []Ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.order.len() > 0 {
		e := *l.order.front()
		if !e.done.Load() {
			// Done looks at oldest behind its mark: it sees e there, or this one sees
			// the mark.
			if l.oldest.Store(e); !e.done.Load() {
				break
			}
		}
		acks = l.take(l.order.pop(), acks)
	}
	for i, e := range l.ready {
		acks = l.take(e, acks)
		l.ready[i] = nil
	}
	l.ready = l.ready[:0]
	return acks
}

// Retire ends the ledger because its connection is gone. It returns how many
// entries were open: the broker delivers those again. Retiring twice returns 0.
func (l *Ledger) Retire() (open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
	l.order, l.ready = ring[*Entry]{}, nil
	l.oldest.Store(nil)
	return int(l.open.Swap(0))
}

// Len returns how many entries are open, 0 once retired.
func (l *Ledger) Len() int { return int(l.open.Load()) }

// Done marks the message as done. Its acknowledgement is released as soon as
// every older message of the connection is done (relaxed: at once); not at all
// when the connection is gone and no newer ledger adopted the entry. Idempotent
// and safe from any goroutine. It takes no lock unless relaxed. On an entry that
// was never added it does nothing.
func (e *Entry) Done() {
	if e.done.Swap(true) {
		return
	}
	// Adopt stores the new ledger before it looks at done, so either this
	// goroutine sees the new ledger or Adopt sees that the message is done.
	l := e.ledger.Load()
	if l == nil {
		return
	}
	if l.relaxed {
		l.mu.Lock()
		due := l.settle(e)
		l.mu.Unlock()
		if due {
			l.wake()
		}
	} else if l.oldest.Load() == e {
		l.wake()
	}
}

// leave takes the entry out of its retired ledger and points it to the next.
func (e *Entry) leave(next *Ledger) bool {
	old := e.ledger.Load()
	if old == nil {
		return false
	}
	old.mu.Lock()
	defer old.mu.Unlock()
	if !old.retired || e.state == entryTaken || e.ledger.Load() != old {
		return false
	}
	e.state = entryApart
	e.ledger.Store(next)
	return true
}

// enter lists an entry that left its retired ledger.
func (l *Ledger) enter(e *Entry, id uint16, qos byte) {
	l.mu.Lock()
	l.list(e, id, qos)
	due := false
	if e.done.Load() {
		due = l.settle(e) || l.oldest.Load() == e
	}
	l.mu.Unlock()
	if due {
		l.wake()
	}
}

// list appends the entry. The mutex is held.
func (l *Ledger) list(e *Entry, id uint16, qos byte) {
	e.id, e.qos = id, qos
	if l.retired {
		return
	}
	e.state = entryListed
	l.open.Add(1)
	if l.relaxed {
		return
	}
	if l.order.push(e); l.order.len() == 1 {
		l.oldest.Store(e)
	}
}

// settle notes that a done entry may leave at once, and reports whether it did.
// The mutex is held; a stale caller's ledger is retired, and then the entry is no
// longer its to touch.
func (l *Ledger) settle(e *Entry) bool {
	if l.retired || !l.relaxed || e.state != entryListed {
		return false
	}
	e.state = entryReady
	l.ready = append(l.ready, e)
	return true
}

// take appends the acknowledgement of an entry. The mutex is held.
func (l *Ledger) take(e *Entry, acks []Ack) []Ack {
	e.state = entryTaken
	l.open.Add(-1)
	return append(acks, Ack{PacketID: e.id, QoS: e.qos})
}
