package delivery

import (
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// Ack identifies a message that may be acknowledged to the broker: with PUBACK
// for QoS 1, with PUBREC for QoS 2.
type Ack struct {
	// PacketID is the packet identifier of the message.
	PacketID uint16
	// QoS is 1 or 2, as received.
	QoS byte
}

// Ledger keeps the messages of one connection in receive order and releases
// their acknowledgements in that order: never before that of an older message,
// never twice, and never on another connection [MQTT-4.6.0-2] [MQTT-4.6.0-3].
// All methods are safe for concurrent use. Create one per connection with
// [NewLedger] and retire it when the connection has ended.
type Ledger struct {
	wake    func()
	relaxed bool
	open    atomic.Int64          // number of entries added and not taken
	oldest  atomic.Pointer[Entry] // strict: the open entry that all others wait for

	mu      sync.Mutex
	retired bool
	order   queue.Ring[*Entry] // strict: open entries in receive order
	ready   []*Entry           // relaxed: open entries that are done
}

// Entry is one received message in a [Ledger]. The caller allocates it with its
// zero value and adds it. It is open until its acknowledgement was taken, and
// must not be reused for another message, because a late Done would acknowledge
// that message.
type Entry struct {
	ledger atomic.Pointer[Ledger]
	others atomic.Int32 // handlers that are not done, besides one; negative once done

	// Guarded by the mutex of the ledger that holds the entry.
	id    uint16
	qos   byte
	state entryState
}

type entryState uint8

const (
	entryApart  entryState = iota // in no active ledger
	entryListed                   // waits in order, or may still be added to ready
	entryReady                    // in ready
	entryTaken                    // its acknowledgement is being sent
)

// NewLedger returns an empty ledger for a new connection.
//
// wake is called when there is something to [Ledger.Take], on the goroutine of
// a caller of [Entry.Done] or [Ledger.Adopt] and without a lock held. It may
// also be called when there is nothing, and concurrently. It must not block. A
// nil wake is not called.
//
// With relaxed an acknowledgement is released as soon as its message is done,
// for MQTT 3.1.1 brokers that accept any order. A slow message then delays no
// other.
func NewLedger(relaxed bool, wake func()) *Ledger {
	if wake == nil {
		wake = func() {}
	}
	return &Ledger{wake: wake, relaxed: relaxed}
}

// Add appends a received QoS 1 or QoS 2 message. On a retired ledger the
// message is never acknowledged and can be adopted.
func (l *Ledger) Add(e *Entry, id uint16, qos byte) {
	e.ledger.Store(l)
	l.mu.Lock()
	l.list(e, id, qos)
	l.mu.Unlock()
}

// Adopt moves an open entry of a retired ledger to the end of l, for a
// redelivery of the same message. Its handling continues or is already done,
// and its acknowledgement is sent on l, at this position, with packet
// identifier id.
//
// It returns false and changes nothing if the entry was already acknowledged or
// its ledger is not retired; the caller then handles the redelivery as a new
// message.
func (l *Ledger) Adopt(e *Entry, id uint16, qos byte) bool {
	if !e.leave(l) {
		return false
	}
	l.enter(e, id, qos)
	return true
}

// Take appends the messages that may be acknowledged now to acks, each once:
// acknowledge them on this connection in this order. It takes nothing from a
// retired ledger.
func (l *Ledger) Take(acks []Ack) []Ack {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.order.Len() > 0 {
		e := *l.order.Front()
		if !e.isDone() {
			// Done first sets done and then reads oldest: either it sees e
			// there, or this goroutine sees that e is done.
			if l.oldest.Store(e); !e.isDone() {
				break
			}
		}
		acks = l.take(l.order.Pop(), acks)
	}
	for i, e := range l.ready {
		acks = l.take(e, acks)
		l.ready[i] = nil
	}
	l.ready = l.ready[:0]
	return acks
}

// Retire ends the ledger because its connection has ended. It returns the
// number of open entries, whose messages the broker delivers again. A second
// call returns 0.
func (l *Ledger) Retire() (open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.retired = true
	l.order, l.ready = queue.Ring[*Entry]{}, nil
	l.oldest.Store(nil)
	return int(l.open.Swap(0))
}

// Len returns the number of open entries, or 0 once retired.
func (l *Ledger) Len() int { return int(l.open.Load()) }

// Share sets the number of handlers that have the message: it is done when each
// of them has called Done once. The default is 1. Call it before any of them begins.
func (e *Entry) Share(handlers int) { e.others.Store(int32(handlers) - 1) }

// isDone reports whether every handler is done.
func (e *Entry) isDone() bool { return e.others.Load() < 0 }

// Done marks the message as done by a handler, and as done once all are, see
// [Entry.Share]. Its acknowledgement is released as soon as
// every older message of the connection is done (relaxed: immediately), or
// never if the connection has ended and no newer ledger adopted the entry.
// Further calls do nothing. Done is safe for concurrent use and takes no lock
// unless relaxed. It does nothing for an entry that was never added.
func (e *Entry) Done() {
	for {
		n := e.others.Load()
		if n < 0 {
			return
		}
		if !e.others.CompareAndSwap(n, n-1) {
			continue
		}
		if n > 0 {
			return
		}
		break
	}
	// Adopt stores the new ledger before it reads done, so either this
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

// leave removes the entry from its retired ledger and sets its ledger to next.
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

// enter adds an entry that left its retired ledger.
func (l *Ledger) enter(e *Entry, id uint16, qos byte) {
	l.mu.Lock()
	l.list(e, id, qos)
	due := false
	if e.isDone() {
		due = l.settle(e) || l.oldest.Load() == e
	}
	l.mu.Unlock()
	if due {
		l.wake()
	}
}

// list appends the entry. The mutex must be held.
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
	if l.order.Push(e); l.order.Len() == 1 {
		l.oldest.Store(e)
	}
}

// settle records that a done entry may be taken, and reports whether it may.
// The mutex must be held. If the caller's ledger is outdated it is retired, and
// then it must not change the entry.
func (l *Ledger) settle(e *Entry) bool {
	if l.retired || !l.relaxed || e.state != entryListed {
		return false
	}
	e.state = entryReady
	l.ready = append(l.ready, e)
	return true
}

// take appends the acknowledgement of an entry. The mutex must be held.
func (l *Ledger) take(e *Entry, acks []Ack) []Ack {
	e.state = entryTaken
	l.open.Add(-1)
	return append(acks, Ack{PacketID: e.id, QoS: e.qos})
}
