package relay

import (
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// window is what the relay knows of the store: the items in memory, by seq and
// by lane, and how far the store was read. It has no locks and does no input or
// output.
//
// The store is read upwards, from frontier. Up to there what is still in it is
// either known or was skipped by its lane. When lanes take entries again, a pass
// reads what they skipped, beside the reading at the frontier, for all of them
// that wait when it begins.
type window struct {
	o     *Options
	known map[uint64]*item
	lanes map[string]*lane
	// turns has a lane for each item that may perhaps be sent.
	turns fifo[*lane]
	shut  shut
	pass  pass
	heavy map[*lane]struct{} // that are left out of what is read

	flying int   // items in flight
	loaded int   // items with an entry
	bytes  int64 // of those

	frontier uint64
	atEnd    bool // nothing was found after frontier
	chunk    int  // how many to read at a time
	epoch    int  // of what is read: what was asked for in an earlier one is of no use

	acked      []uint64 // to be deleted
	ackedSince time.Time
	busy       []uint64   // acknowledged, and locked by others
	rejected   []rejected // to be quarantined
	held       fifo[*item]
}

type rejected struct {
	it     *item
	entry  *outbox.Entry
	err    error
	reason string
}

func newWindow(o Options) *window {
	return &window{
		o: &o, known: map[uint64]*item{}, lanes: map[string]*lane{},
		heavy: map[*lane]struct{}{}, shut: newShut(&o),
		pass:  pass{behind: map[*lane]struct{}{}, later: map[*lane]struct{}{}},
		chunk: min(16, o.Batch),
	}
}

// next takes the next item into flight, nil without one.
func (w *window) next() *item {
	for w.flying < w.o.Batch {
		l, ok := w.turns.pop()
		if !ok {
			return nil
		}
		if l.sendable() == nil {
			continue
		}
		w.flying++
		return l.pop()
	}
	return nil
}

// landed is the part that all outcomes have in common.
func (w *window) landed(it *item) {
	it.lane.flying--
	w.flying--
	w.headless(it)
}

// headless notes that an item is no longer the head of a closed lane.
func (w *window) headless(it *item) {
	if it.head {
		it.head = false
		w.shut.heads--
	}
	if it.trial {
		it.trial = false
		w.shut.silence.trials--
	}
}

// acknowledge notes that the broker has taken an item over.
func (w *window) acknowledge(it *item, now time.Time) {
	if it.head {
		w.shut.worth()
	}
	if it.trial {
		w.shut.silence.answered()
	}
	w.landed(it)
	it.acked = now
	w.unload(it)
	it.lane.refusals = nil
	if w.o.Hold > 0 && !it.resent {
		it.state = held
		w.held.push(it)
	} else {
		w.release(it, now)
	}
	w.through(it)
}

// release marks an item for deletion.
func (w *window) release(it *item, now time.Time) {
	it.state = acked
	if len(w.acked) == 0 {
		w.ackedSince = now
	}
	w.acked = append(w.acked, it.seq)
}

// reject notes that an item can never be sent. Its lane waits until it is in
// the quarantine, or cannot be.
func (w *window) reject(it *item, err error, reason string) {
	w.landed(it)
	it.state = acked
	w.rejected = append(w.rejected, rejected{it: it, entry: it.entry, err: err, reason: reason})
	w.unload(it)
	it.lane.rejecting++
}

// quarantined notes that a rejected item is in the quarantine.
func (w *window) quarantined(r rejected) {
	l := r.it.lane
	l.rejecting--
	w.through(r.it)
	if l.rejecting == 0 && l.closed == nil {
		for range l.queue {
			w.turns.push(l)
		}
	}
	w.forget(r.it.seq)
}

// unquarantined notes that there is no room for a rejected item: it stays the
// first of its lane.
func (w *window) unquarantined(r rejected, now time.Time) {
	l := r.it.lane
	l.rejecting--
	w.close(r.it, r.entry, failure{err: r.err, reason: r.reason}, now)
	l.closed.retryAt = now.Add(max(longPause, w.o.MaxBackoff))
	r.it.state = gone
	delete(w.known, r.it.seq)
	l.items--
	w.skip(l, r.it.seq)
	w.dropAll(l)
	w.settle(l)
}

// longPause is the pause of an entry for which the quarantine has no room.
const longPause = time.Minute

func (w *window) through(it *item) {
	l := it.lane
	if it.alone && l.closed != nil && l.rejecting == 0 {
		w.open(l)
	}
	normal := l.passed(it)
	switch {
	case l.closed != nil:
	case normal:
		for range l.queue {
			w.turns.push(l)
		}
	case l.careful > 0 && l.flying == 0:
		w.turns.push(l)
	}
	w.settle(l)
}

// fail notes that an attempt failed: the lane is closed, and forgets its items.
func (w *window) fail(it *item, f failure, now time.Time) {
	if f.silent {
		w.shut.silence.unanswered(it.trial, now)
	}
	w.landed(it)
	l := it.lane
	if w.close(it, it.entry, f, now) || it.alone {
		// One pause for all that were in flight together.
		l.closed.retryAt = now.Add(pause(w.o, l.closed.pauses))
		l.closed.pauses++
	}
	l.careful = max(l.careful, it.seq)
	w.drop(it)
	w.dropAll(l)
	w.settle(l)
}

// drop forgets an item that is to be sent, so that it is read again.
func (w *window) drop(it *item) {
	w.headless(it)
	w.unload(it)
	if it.resent {
		it.state = lost // and remembered as that
	} else {
		it.state = gone
		delete(w.known, it.seq)
		it.lane.items--
	}
	w.skip(it.lane, it.seq)
}

// dropAll drops what is queued.
func (w *window) dropAll(l *lane) {
	queue := l.queue
	l.queue = nil
	for _, it := range queue {
		w.drop(it)
	}
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
	if l.items > 0 || l.skipped != 0 || l.closed != nil || w.lanes[l.key] != l {
		return
	}
	delete(w.lanes, l.key)
}

// onlyRefused reports whether every lane waits for a refused item, or has
// nothing but held ones, and at least one waits.
func (w *window) onlyRefused() bool {
	if w.shut.lanes == 0 || len(w.acked) > 0 || len(w.rejected) > 0 {
		return false
	}
	for _, l := range w.lanes {
		switch {
		case l.rejecting > 0:
			return false
		case l.closed != nil:
			if l.closed.reason == "" && !l.closed.awaited && !l.closed.silent {
				return false
			}
		case l.flying > 0, len(l.queue) > 0, l.skipped != 0:
			return false
		}
	}
	return true
}

// refused notes a refusal of an item, and returns an error when that was the
// last one. What is refused for the same reason and topic as the entries of its
// key before it, of which none went through meanwhile, is as old as those: a
// topic that is forbidden needs not be tried for After with each of its entries.
func (w *window) refused(it *item, ref Refusal, err error, now time.Time) error {
	l, topic := it.lane, short(it.entry.Topic)
	r := l.refusals
	if r == nil || r.topic != topic || r.reason != ref.Reason {
		r = &refusals{topic: topic, reason: ref.Reason, since: now}
		l.refusals = r
	}
	if it.alone || r.n == 0 { // not each of those that were in flight together
		r.n++
	}
	switch age := now.Sub(r.since); {
	case ref.After == 0 && ref.Attempts == 0:
		return err
	case ref.Attempts > 0 && r.n >= ref.Attempts, ref.After > 0 && age >= ref.After:
		return fmt.Errorf("refused %d times in %v: %w", r.n, age.Round(time.Second), err)
	}
	return nil
}
