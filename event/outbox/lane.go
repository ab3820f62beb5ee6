package outbox

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v5"
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
	entry   *Entry
	lane    *lane
	state   state
	attempt int
	size    int64
	// alone is set when nothing else of its lane was in flight at the time.
	alone bool
	// resent is set for an item that was held and lost: once is enough.
	resent bool
	acked  time.Time
}

// lane has the items of one key.
//
// After a failure the lane is closed: its first item is tried alone after a
// pause, and its others are forgotten, to be read again from the store (skipped
// says from where on), so that a closed lane costs one entry of memory however
// many wait for it. When the first has gone through, the lane is open again,
// but careful: up to the last item that failed they go one at a time.
type lane struct {
	key     string
	items   int     // that the relay knows
	queue   []*item // to be sent, in order of seq
	flying  int
	closed  bool
	careful uint64 // the last seq that failed; 0 is none
	retryAt time.Time
	pauses  *backoff.ExponentialBackOff
	// skipped is the seq from which on entries in the store may not be known;
	// 0 is none. Those in the queue are below it.
	skipped uint64
	waiting bool // in window.waiting
}

// takes reports whether entries of the lane that are read are to be kept: a
// closed lane needs only the one to be tried next.
func (l *lane) takes() bool { return !l.closed || len(l.queue) == 0 && l.flying == 0 }

// sendable is the item that may be sent now, nil if none.
func (l *lane) sendable(now time.Time) *item {
	switch {
	case len(l.queue) == 0:
		return nil
	case l.closed && (l.flying > 0 || now.Before(l.retryAt)):
		return nil
	case l.careful > 0 && l.flying > 0:
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
	it.state, it.alone = flying, l.closed || l.careful > 0
	it.attempt++
	l.flying++
	return it
}

// skip notes that an entry is in the store only.
func (l *lane) skip(seq uint64) {
	if l.skipped == 0 || seq < l.skipped {
		l.skipped = seq
	}
}

// passed notes that an item has gone through, and reports whether the lane
// returned to normal.
func (l *lane) passed(it *item) (normal bool) {
	if !it.alone {
		return false
	}
	l.closed, l.pauses = false, nil
	if l.careful > it.seq {
		return false
	}
	l.careful = 0
	return true
}

// close notes a failure of an item of the lane.
func (l *lane) close(it *item, now time.Time, o *RelayOptions) {
	if l.pauses == nil {
		l.pauses = newPauses(o)
	}
	if !l.closed || it.alone { // one pause for all that were in flight together
		l.retryAt = now.Add(l.pauses.NextBackOff())
	}
	l.closed = true
	l.careful = max(l.careful, it.seq)
}
