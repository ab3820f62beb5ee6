package relay

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// state is what an entry is waiting for.
type state uint8

const (
	queued state = iota // in the queue of its lane
	flying              // for the outcome of an attempt
	acked               // for its delete, or its quarantine
	held                // for the end of Hold
	lost                // acknowledged, and to be read and sent once more
	gone                // for nothing: it is not known any more
)

// item is an entry that the relay knows. A held or lost one has no entry, so
// that it costs little.
type item struct {
	seq     uint64
	entry   *outbox.Entry
	lane    *lane
	state   state
	attempt int
	size    int64
	// alone is set when nothing else of its lane was in flight at the time, and
	// head while it is counted as the head of a closed lane.
	alone, head bool
	// trial is set while it is counted as one of a lane without acknowledgements.
	trial bool
	// resent is set for an item that was held and lost: once is enough.
	resent bool
	acked  time.Time
}

// lane has the items of one key.
//
// After a failure the lane is closed: all its items are forgotten, and only the
// seq of the first is kept, which is read again after a pause and tried alone.
// So a closed lane costs some hundred bytes however many wait for it, and no
// room of the others. When the first has gone through, the lane is open again,
// but careful: up to the last item that failed they go one at a time.
type lane struct {
	key       string
	items     int     // that the relay knows
	queue     []*item // to be sent, in order of seq
	flying    int
	rejecting int // on their way to the quarantine, before which nothing is sent
	careful   uint64
	closed    *closed // nil while it is open
	refusals  *refusals
	// skipped and last are the first and last seq of the entries that may be in the store
	// and not in memory; 0 means that there are no such entries. The head of a closed lane
	// is not one of them.
	skipped, last uint64
	seen          int  // how often one was met there since the lane was closed
	left          bool // out of what is read, from leftFrom on: see window.heavy
	leftFrom      uint64
}

// closed is what a closed lane has besides.
type closed struct {
	head     uint64 // the first entry, in the store only; 0 when it is not known
	place    place
	index    int // in the heap
	retryAt  time.Time
	pauses   int
	since    time.Time
	attempts int
	err      error
	reason   string
	awaited  bool   // the end of the failure is
	silent   bool   // there was no acknowledgement
	seq      uint64 // of the entry that failed last, with its topic and id
	topic    string
	id       string
}

// failure is why an attempt failed.
type failure struct {
	err     error
	reason  string // of the refusal
	awaited bool   // somebody else ends it
	silent  bool   // there was no acknowledgement
}

// place is where a closed lane waits.
type place uint8

const (
	nowhere place = iota // for an outcome, or for its turn
	pausing              // in the heap
	fetched              // for its head to be read
	seeking              // for the first of its entries to be met in a pass
)

// refusals are those of a lane since something of it went through.
type refusals struct {
	topic, reason string
	since         time.Time
	n             int
}

// sendable returns the item that may be sent now, or nil.
func (l *lane) sendable() *item {
	if len(l.queue) == 0 || l.rejecting > 0 || (l.closed != nil || l.careful > 0) && l.flying > 0 {
		return nil
	}
	return l.queue[0]
}

func (l *lane) insert(it *item) {
	it.state = queued
	i, _ := slices.BinarySearchFunc(l.queue, it.seq, func(x *item, seq uint64) int {
		switch {
		case x.seq < seq:
			return -1
		case x.seq > seq:
			return 1
		}
		return 0
	})
	l.queue = slices.Insert(l.queue, i, it)
}

// pop takes the first of the queue into flight.
func (l *lane) pop() *item {
	it := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	it.state, it.alone = flying, l.closed != nil || l.careful > 0
	it.attempt++
	l.flying++
	return it
}

// passed notes that an item has gone through, and reports whether the lane
// returned to normal.
func (l *lane) passed(it *item) (normal bool) {
	if !it.alone || l.careful > it.seq {
		return false
	}
	l.careful = 0
	return true
}
