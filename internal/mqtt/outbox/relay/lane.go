package relay

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// state is what an item waits for.
type state uint8

const (
	queued    state = iota // its turn in the queue of its lane
	inFlight               // the outcome of an attempt
	acked                  // being deleted or quarantined
	kept                   // the end of KeepAcknowledged
	resend                 // acknowledged; to be read and sent once more
	forgotten              // nothing: the relay has forgotten it
)

// item is an entry that the relay knows. Once acknowledged it has no entry, so that it
// takes little memory.
type item struct {
	seq     uint64
	entry   *outbox.Entry
	lane    *lane
	state   state
	attempt int
	size    int64
	// alone is set when no other item of its lane was in flight at the time. head is set
	// while it is counted as the head of a closed lane.
	alone, head bool
	// trial is set while it is counted as a trial of an unanswered lane.
	trial bool
	// resent is set when it is sent again after an acknowledgement, which happens once.
	resent bool
	acked  time.Time
}

// lane has the items of one key.
//
// After a failure the lane is closed: it forgets its items except the seq of the first, its
// head. The head is read again after a pause and tried alone. So a closed lane takes some
// hundred bytes and no room of other lanes, however many of its entries wait. Once the head
// is acknowledged the lane is open again, but sends one item at a time up to the last one
// that failed.
type lane struct {
	key           string
	items         int     // number of items that the relay knows
	queue         []*item // to be sent, in order of seq
	inFlight      int
	rejecting     int         // number being quarantined; nothing is sent meanwhile
	oneByOneUntil uint64      // one item at a time up to this seq
	closed        *closedLane // nil while it is open
	refusals      *refusals
	// skipped and last are the first and last seq of the entries that may be in the store
	// and not in memory; 0 means that there are no such entries. The head of a closed lane
	// is not one of them.
	skipped, last uint64
	skippedReads  int  // entries that were read and skipped since the lane was closed
	excluded      bool // reads leave its entries out, from excludedFrom on
	excludedFrom  uint64
}

// closed is the state of a closed lane.
type closedLane struct {
	head       uint64 // seq of the first entry; 0 means unknown
	place      place
	index      int // in the heap
	retryAt    time.Time
	pauses     int
	since      time.Time
	attempts   int
	err        error
	reason     string
	awaited    bool   // the failure ends when somebody else acts
	unanswered bool   // there was no acknowledgement
	seq        uint64 // of the last entry that failed, as topic and id
	topic      string
	id         string
}

// failure is why an attempt failed.
type failure struct {
	err        error
	reason     string // of the refusal
	awaited    bool   // it ends when somebody else acts
	unanswered bool   // there was no acknowledgement
}

// place is where a closed lane waits.
type place uint8

const (
	nowhere place = iota // in flight or queued, or not scheduled yet
	pausing              // in the heap
	fetched              // its head is read next
	seeking              // a pass looks for its first entry
)

// refusals counts refusals of a lane for one topic and reason since its last success.
type refusals struct {
	topic, reason string
	since         time.Time
	n             int
}

// sendable returns the item that may be sent now, or nil.
func (l *lane) sendable() *item {
	if len(l.queue) == 0 || l.rejecting > 0 || (l.closed != nil || l.oneByOneUntil > 0) && l.inFlight > 0 {
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

// pop removes the first item of the queue and counts it as in flight.
func (l *lane) pop() *item {
	it := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	it.state, it.alone = inFlight, l.closed != nil || l.oneByOneUntil > 0
	it.attempt++
	l.inFlight++
	return it
}

// resolved notes that an item was acknowledged or quarantined, and reports whether the lane
// returned to sending without restrictions.
func (l *lane) resolved(it *item) (normal bool) {
	if !it.alone || l.oneByOneUntil > it.seq {
		return false
	}
	l.oneByOneUntil = 0
	return true
}
