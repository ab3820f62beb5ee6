package outbox

import (
	"time"
)

// window is what the relay knows of the store: the items in memory, by seq and
// by lane, and how far the store was read. It has no locks and does no input or
// output.
//
// The store is read upwards, from pos. Up to frontier it was read before: what
// is still there is either known or belongs to a lane that skipped it. When
// such a lane takes entries again, pos goes back to what it skipped; when no
// such lane is left, pos jumps to the frontier.
type window struct {
	o     *RelayOptions
	known map[uint64]*item
	lanes map[string]*lane
	// turns has a lane for each item that may perhaps be sent.
	turns fifo[*lane]
	// waiting has the closed lanes.
	waiting []*lane
	// behind has the lanes that take entries again and have skipped some.
	behind map[*lane]struct{}

	closed int   // lanes
	flying int   // items in flight
	loaded int   // items with an entry
	bytes  int64 // of those

	pos, frontier uint64
	atEnd         bool // nothing was found after pos
	sweeping      bool // reading all from the start
	chunk         int  // how many to read at a time

	acked      []uint64 // to be deleted
	ackedSince time.Time
	rejected   []rejected // to be quarantined
	held       fifo[*item]
}

type rejected struct {
	entry *Entry
	err   error
}

func newWindow(o RelayOptions) *window {
	return &window{
		o: &o, known: map[uint64]*item{}, lanes: map[string]*lane{}, behind: map[*lane]struct{}{},
		chunk: min(16, o.Batch),
	}
}

// next takes the next item into flight; without one it says how long to wait
// for the end of the next pause.
func (w *window) next(now time.Time) (*item, time.Duration) {
	wait := w.due(now)
	for w.flying < w.o.Batch {
		l, ok := w.turns.pop()
		if !ok {
			break
		}
		if l.sendable(now) == nil {
			continue
		}
		w.flying++
		return l.pop(), 0
	}
	return nil, wait
}

// due gives a turn to the closed lanes whose pause is over, and says when the
// next one will be.
func (w *window) due(now time.Time) time.Duration {
	wait, kept := time.Hour, w.waiting[:0]
	for _, l := range w.waiting {
		switch {
		case !l.closed || l.flying > 0 || len(l.queue) == 0:
			l.waiting = false // the next outcome, or entry read, puts it back
		case now.Before(l.retryAt):
			wait = min(wait, l.retryAt.Sub(now))
			kept = append(kept, l)
		default:
			l.waiting = false
			w.turns.push(l)
		}
	}
	clear(w.waiting[len(kept):])
	w.waiting = kept
	return wait
}

// await puts a closed lane that has something to send among the waiting.
func (w *window) await(l *lane) {
	if l.closed && l.flying == 0 && len(l.queue) > 0 && !l.waiting {
		l.waiting = true
		w.waiting = append(w.waiting, l)
	}
}

// retryNow ends all pauses.
func (w *window) retryNow() {
	for _, l := range w.waiting {
		l.retryAt = time.Time{}
	}
}

// landed is the part that all outcomes have in common.
func (w *window) landed(it *item) {
	it.lane.flying--
	w.flying--
}

// acknowledge notes that the broker has taken an item over.
func (w *window) acknowledge(it *item, now time.Time) {
	w.landed(it)
	it.acked = now
	w.unload(it)
	if w.o.Hold > 0 && !it.resent {
		it.state = held
		w.held.push(it)
	} else {
		w.release(it, now)
	}
	w.through(it)
}

// release gives an item free for its delete.
func (w *window) release(it *item, now time.Time) {
	it.state = acked
	if len(w.acked) == 0 {
		w.ackedSince = now
	}
	w.acked = append(w.acked, it.seq)
}

// reject notes that an item can never be sent.
func (w *window) reject(it *item, err error) {
	w.landed(it)
	it.state = acked
	w.rejected = append(w.rejected, rejected{entry: it.entry, err: err})
	w.unload(it)
	w.through(it)
}

func (w *window) through(it *item) {
	l := it.lane
	wasClosed := l.closed
	normal := l.passed(it)
	if wasClosed && !l.closed {
		w.closed--
	}
	if normal {
		for range l.queue {
			w.turns.push(l)
		}
	} else if !l.closed && l.careful > 0 && l.flying == 0 {
		w.turns.push(l)
	}
	w.await(l)
	w.goBack(l)
}

// fail notes that an attempt failed: the item is the first of its lane again,
// or is forgotten, to be read again, when an earlier one is.
func (w *window) fail(it *item, now time.Time) {
	w.landed(it)
	l := it.lane
	if !l.closed {
		w.closed++
	}
	l.close(it, now, w.o)
	if l.skipped == 0 || it.seq < l.skipped {
		l.insert(it)
	} else {
		w.drop(it)
	}
	for _, x := range l.queue[min(1, len(l.queue)):] {
		w.drop(x)
	}
	l.queue = l.queue[:min(1, len(l.queue))]
	if !l.takes() {
		delete(w.behind, l)
	}
	w.await(l)
	w.goBack(l)
}

// drop forgets an item that is to be sent, so that it is read again.
func (w *window) drop(it *item) {
	w.unload(it)
	it.lane.skip(it.seq)
	if it.resent {
		it.state = lost // and remembered as that
		return
	}
	it.state = gone
	delete(w.known, it.seq)
	it.lane.items--
}

func (w *window) unload(it *item) {
	w.loaded--
	w.bytes -= it.size
	it.entry = nil
}

// forget removes an item that is no longer in the store.
func (w *window) forget(seq uint64) {
	it := w.known[seq]
	if it == nil {
		return
	}
	delete(w.known, seq)
	it.lane.items--
	w.collect(it.lane)
}

// collect removes a lane that nothing is known of.
func (w *window) collect(l *lane) {
	if l.items == 0 && l.skipped == 0 && w.lanes[l.key] == l {
		delete(w.lanes, l.key)
		if l.closed {
			w.closed--
		}
	}
}
