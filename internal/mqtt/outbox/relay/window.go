package relay

import (
	"fmt"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// window is what the relay knows of the store: the items in memory, by seq and by lane, and
// how far the store was read. It has no locks and does no input or output.
//
// The store is read in order of seq. The frontier is the last seq that was read: an entry
// up to there is either known or was skipped by its lane. When lanes can take entries
// again, a pass reads what they skipped, for all lanes that wait when it begins, while new
// entries are read after the frontier.
type window struct {
	o     *Options
	known map[uint64]*item
	lanes map[string]*lane
	// ready has a lane for each item that may be sent. A lane may have none when its turn
	// comes.
	ready    queue.Ring[*lane]
	closed   closedLanes
	pass     pass
	excluded map[*lane]struct{} // lanes that reads leave out

	inFlight int   // items in flight
	loaded   int   // items with an entry
	bytes    int64 // size of those entries

	frontier uint64
	atEnd    bool // the last read after frontier found no entries
	readSize int  // number of entries of a read
	epoch    int  // changes when the window is reset; reads that began before are ignored

	acked      []uint64 // to be deleted
	ackedSince time.Time
	busy       []uint64   // acknowledged, but locked by other transactions
	rejected   []rejected // to be quarantined
	kept       queue.Ring[*item]

	barred map[uint64]int // entries that are being discarded, and by how many calls
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
		excluded: map[*lane]struct{}{}, closed: newClosedLanes(&o),
		barred:   map[uint64]int{},
		pass:     pass{lanes: map[*lane]struct{}{}, waiting: map[*lane]struct{}{}},
		readSize: min(16, o.Batch),
	}
}

// next returns the next item and counts it as in flight, or returns nil if none may be
// sent.
func (w *window) next() *item {
	for w.inFlight < w.o.Batch && w.ready.Len() > 0 {
		l := w.ready.Pop()
		it := l.sendable()
		if it == nil || w.barred[it.seq] > 0 { // unbar drops it
			continue
		}
		w.inFlight++
		return l.pop()
	}
	return nil
}

// bar keeps entries from being sent, until unbar. It returns those that were sent already,
// which are not barred.
func (w *window) bar(seqs []uint64) (free, sent []uint64) {
	for _, seq := range seqs {
		it := w.known[seq]
		if it != nil && it.state != queued && it.state != forgotten {
			sent = append(sent, seq)
			continue
		}
		w.barred[seq]++
		free = append(free, seq)
	}
	return free, sent
}

// unbar ends bar. What is in memory is read again, without the entries that no longer exist.
func (w *window) unbar(seqs []uint64) {
	for _, seq := range seqs {
		if w.barred[seq]--; w.barred[seq] <= 0 {
			delete(w.barred, seq)
		}
	}
	if len(seqs) > 0 {
		w.reset()
	}
}

// endAttempt updates the counters after any outcome of an attempt.
func (w *window) endAttempt(it *item) {
	it.lane.inFlight--
	w.inFlight--
	w.uncountHead(it)
}

// uncountHead notes that an item is no longer the head of a closed lane.
func (w *window) uncountHead(it *item) {
	if it.head {
		it.head = false
		w.closed.heads--
	}
	if it.trial {
		it.trial = false
		w.closed.unanswered.trials--
	}
}

// acknowledge notes that the broker acknowledged an item.
func (w *window) acknowledge(it *item, now time.Time) {
	if it.head {
		w.closed.refund()
	}
	if it.trial {
		w.closed.unanswered.ackedTrial()
	}
	w.endAttempt(it)
	it.acked = now
	w.unload(it)
	it.lane.refusals = nil
	if w.o.KeepAcknowledged > 0 && !it.resent {
		it.state = kept
		w.kept.Push(it)
	} else {
		w.release(it, now)
	}
	w.resolved(it)
}

// release marks an item for deletion.
func (w *window) release(it *item, now time.Time) {
	it.state = acked
	if len(w.acked) == 0 {
		w.ackedSince = now
	}
	w.acked = append(w.acked, it.seq)
}

// reject notes that an item can never be sent. Its lane waits until the item is in the
// quarantine, or the quarantine refused it.
func (w *window) reject(it *item, err error, reason string) {
	w.endAttempt(it)
	it.state = acked
	w.rejected = append(w.rejected, rejected{it: it, entry: it.entry, err: err, reason: reason})
	w.unload(it)
	it.lane.rejecting++
}

// quarantined notes that a rejected item is in the quarantine.
func (w *window) quarantined(r rejected) {
	l := r.it.lane
	l.rejecting--
	w.resolved(r.it)
	if l.rejecting == 0 && l.closed == nil {
		for range l.queue {
			w.ready.Push(l)
		}
	}
	w.forget(r.it.seq)
}

// unquarantined notes that the quarantine has no room for a rejected item: the item stays
// the first of its lane.
func (w *window) unquarantined(r rejected, now time.Time) {
	l := r.it.lane
	l.rejecting--
	w.close(r.it, r.entry, failure{err: r.err, reason: r.reason}, now)
	l.closed.retryAt = now.Add(max(longPause, w.o.MaxBackoff))
	r.it.state = forgotten
	delete(w.known, r.it.seq)
	l.items--
	w.skip(l, r.it.seq)
	w.dropAll(l)
	w.schedule(l)
}

// longPause is the pause before an entry is tried again for which the quarantine has no
// room.
const longPause = time.Minute

// resolved lets a lane continue after an item was acknowledged or quarantined.
func (w *window) resolved(it *item) {
	l := it.lane
	if it.alone && l.closed != nil && l.rejecting == 0 {
		w.open(l)
	}
	normal := l.resolved(it)
	switch {
	case l.closed != nil:
	case normal:
		for range l.queue {
			w.ready.Push(l)
		}
	case l.oneByOneUntil > 0 && l.inFlight == 0:
		w.ready.Push(l)
	}
	w.schedule(l)
}

// fail notes that an attempt failed: it closes the lane, which forgets its items.
func (w *window) fail(it *item, f failure, now time.Time) {
	if f.unanswered {
		w.closed.unanswered.failedTrial(it.trial, now)
	}
	w.endAttempt(it)
	l := it.lane
	if w.close(it, it.entry, f, now) || it.alone {
		// One pause for all that were in flight together.
		l.closed.retryAt = now.Add(pause(w.o, l.closed.pauses))
		l.closed.pauses++
	}
	l.oneByOneUntil = max(l.oneByOneUntil, it.seq)
	w.drop(it)
	w.dropAll(l)
	w.schedule(l)
}

// drop removes an unsent item from memory; it is read again later.
func (w *window) drop(it *item) {
	w.uncountHead(it)
	w.unload(it)
	if it.resent {
		it.state = resend // the item stays known, so that it is sent again only once
	} else {
		it.state = forgotten
		delete(w.known, it.seq)
		it.lane.items--
	}
	w.skip(it.lane, it.seq)
}

// dropAll drops all queued items of a lane.
func (w *window) dropAll(l *lane) {
	queue := l.queue
	l.queue = nil
	for _, it := range queue {
		w.drop(it)
	}
}

// unload releases the entry of an item, which stays known.
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
	w.removeIfEmpty(it.lane)
}

// removeIfEmpty removes a lane without items, skipped entries or failures.
func (w *window) removeIfEmpty(l *lane) {
	if l.items > 0 || l.skipped != 0 || l.closed != nil || w.lanes[l.key] != l {
		return
	}
	delete(w.lanes, l.key)
}

// onlyRefused reports whether at least one lane waits for an entry that is refused, awaited
// or unanswered, and all other lanes have at most acknowledged entries that are kept.
func (w *window) onlyRefused() bool {
	if w.closed.lanes == 0 || len(w.acked) > 0 || len(w.rejected) > 0 {
		return false
	}
	for _, l := range w.lanes {
		switch {
		case l.rejecting > 0:
			return false
		case l.closed != nil:
			if l.closed.reason == "" && !l.closed.awaited && !l.closed.unanswered {
				return false
			}
		case l.inFlight > 0, len(l.queue) > 0, l.skipped != 0:
			return false
		}
	}
	return true
}

// refused notes a refusal of an item. It returns an error if the item is not tried again.
// When entries of a key are refused one after the other for the same reason and topic, with
// no success in between, the time of each counts from the first refusal: entries of a
// forbidden topic are not each tried for After.
func (w *window) refused(it *item, ref Refusal, err error, now time.Time) error {
	l, topic := it.lane, short(it.entry.Topic)
	r := l.refusals
	if r == nil || r.topic != topic || r.reason != ref.Reason {
		r = &refusals{topic: topic, reason: ref.Reason, since: now}
		l.refusals = r
	}
	if it.alone || r.n == 0 { // items that were in flight together count once
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
