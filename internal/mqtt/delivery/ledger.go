package delivery

import (
	"sync"
	"sync/atomic"
)

// slabSize is how many entries are allocated at once. Entries are never used
// again for another message: a late Done must not acknowledge a stranger.
const slabSize = 64

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
	emit    func(acks []Ack)
	relaxed bool

	mu       sync.Mutex
	retired  bool
	emitting bool         // a goroutine is in emit; it takes along what gets ready meanwhile
	open     int          // entries added and not handed to emit
	order    ring[*Entry] // strict: open entries in receive order
	ready    []*Entry     // relaxed: open entries that are done
	batch    []Ack        // owned by the goroutine that emits
	slab     []Entry      // unused entries
}

// Entry is one received message in a [Ledger]. It is open until its
// acknowledgement was handed to emit.
type Entry struct {
	ledger atomic.Pointer[Ledger]
	done   atomic.Bool

	// Guarded by the mutex of the ledger that holds the entry.
	id     uint16
	qos    byte
	listed bool // waits in order, or may still be put into ready
	acked  bool
}

// NewLedger returns an empty ledger for a new connection.
//
// emit is called with the messages that may now be acknowledged, in receive
// order, on the goroutine of one of the callers of [Entry.Done] or
// [Ledger.Adopt]; never concurrently with itself, never with an empty slice,
// and without a lock held, so that it may call the ledger. It must not block
// and must not keep the slice. A nil emit discards.
//
// With relaxed an acknowledgement is released as soon as its message is done,
// for MQTT 3.1.1 brokers that are known to take any order; a slow message then
// holds up no other.
func NewLedger(relaxed bool, emit func(acks []Ack)) *Ledger {
	if emit == nil {
		emit = func([]Ack) {}
	}
	return &Ledger{emit: emit, relaxed: relaxed}
}

// Add appends a received QoS 1 or QoS 2 message. On a retired ledger the entry
// is returned all the same: it is never acknowledged and can be adopted.
func (l *Ledger) Add(id uint16, qos byte) *Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.slab) == 0 {
		l.slab = make([]Entry, slabSize)
	}
	e := &l.slab[0]
	l.slab = l.slab[1:]
	e.ledger.Store(l)
	l.list(e, id, qos)
	return e
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

// Retire ends the ledger because its connection is gone. No call of emit starts
// after it returned; an emit that runs on another goroutine may still finish.
// It returns how many entries were open: the broker delivers those again.
// Retiring twice returns 0.
func (l *Ledger) Retire() (open int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	open = l.open
	l.retired, l.open = true, 0
	l.order, l.ready, l.slab = ring[*Entry]{}, nil, nil
	return open
}

// Len returns how many entries are open, 0 once retired.
func (l *Ledger) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Done marks the message as done. Its acknowledgement is released as soon as
// every older message of the connection is done (relaxed: at once); not at all
// when the connection is gone and no newer ledger adopted the entry. Idempotent
// and safe from any goroutine.
func (e *Entry) Done() {
	if e.done.Swap(true) {
		return
	}
	// Adopt stores the new ledger before it looks at done, so either this
	// goroutine sees the new ledger or Adopt sees that the message is done.
	l := e.ledger.Load()
	l.mu.Lock()
	l.settle(e)
	l.flush()
}

// leave takes the entry out of its retired ledger and points it to the next.
func (e *Entry) leave(next *Ledger) bool {
	old := e.ledger.Load()
	old.mu.Lock()
	defer old.mu.Unlock()
	if !old.retired || e.acked || e.ledger.Load() != old {
		return false
	}
	e.listed = false
	e.ledger.Store(next)
	return true
}

// enter lists an entry that left its retired ledger.
func (l *Ledger) enter(e *Entry, id uint16, qos byte) {
	l.mu.Lock()
	l.list(e, id, qos)
	if e.done.Load() {
		l.settle(e)
	}
	l.flush()
}

// list appends the entry. The mutex is held.
func (l *Ledger) list(e *Entry, id uint16, qos byte) {
	e.id, e.qos = id, qos
	if l.retired {
		return
	}
	e.listed = true
	l.open++
	if !l.relaxed {
		l.order.push(e)
	}
}

// settle notes that a done entry may leave at once. The mutex is held; a stale
// caller's ledger is retired, and then the entry is no longer its to touch.
func (l *Ledger) settle(e *Entry) {
	if l.retired || !l.relaxed || !e.listed {
		return
	}
	e.listed = false
	l.ready = append(l.ready, e)
}

// flush hands out what may leave until nothing is left, or leaves that to the
// goroutine that is already at it. The mutex is held and released.
func (l *Ledger) flush() {
	for !l.emitting {
		l.take()
		if len(l.batch) == 0 {
			break
		}
		l.emitting = true
		l.mu.Unlock()
		l.emit(l.batch)
		l.mu.Lock()
		l.emitting = false
	}
	l.mu.Unlock()
}

// take fills the batch with the entries that may leave now. A retired ledger
// holds none.
func (l *Ledger) take() {
	l.batch = l.batch[:0]
	for l.order.len() > 0 && (*l.order.front()).done.Load() {
		l.ack(l.order.pop())
	}
	for i, e := range l.ready {
		l.ack(e)
		l.ready[i] = nil
	}
	l.ready = l.ready[:0]
}

func (l *Ledger) ack(e *Entry) {
	e.acked, e.listed = true, false
	l.batch = append(l.batch, Ack{PacketID: e.id, QoS: e.qos})
	l.open--
}
