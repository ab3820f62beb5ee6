package relay

import (
	"cmp"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// pass reads again the entries that lanes skipped. A lane that asks for it during a pass
// waits for the next one.
type pass struct {
	active   bool
	sweeping bool               // from the start, for all lanes
	at       uint64             // the last seq that was read
	end      uint64             // the last seq that was skipped
	lanes    map[*lane]struct{} // that the pass reads for
	waiting  map[*lane]struct{} // that wait for the next pass
}

// maxClosed bounds the number of closed lanes, of some hundred bytes each. At the bound no
// new entries are read until some lanes are open again.
const maxClosed = 250_000

// Once excludeAfter batches of entries of a closed lane were read and skipped, the store is
// asked to leave that lane out. At most maxExcluded lanes are left out.
const (
	excludeAfter = 4
	maxExcluded  = 32
)

// room reports whether the window has room for another read.
func (w *window) room() bool {
	return w.loaded+max(1, w.o.Batch/4) <= 3*w.o.Batch && w.bytes < w.o.MaxBytes
}

// ahead reports whether the window wants new entries, those after the frontier.
func (w *window) ahead() bool { return !w.atEnd && w.closed.lanes < maxClosed && w.room() }

// begin begins a pass if a lane waits for one, or if sweep asks for all entries. A sweep
// finds entries that became visible after later ones, as those of long transactions do;
// entries that are known are not sent twice.
func (p *pass) begin(sweep bool) {
	if p.active || !sweep && len(p.waiting) == 0 {
		return
	}
	p.active, p.sweeping = true, sweep
	p.lanes, p.waiting = p.waiting, p.lanes
	first := true
	p.at, p.end = 0, 0
	for l := range p.lanes {
		if first || l.skipped <= p.at {
			p.at, first = l.skipped-1, false
		}
		p.end = max(p.end, l.last)
	}
	if sweep {
		p.at = 0
	}
}

// excludedLanes returns the lanes that reads leave out, and their keys.
func (w *window) excludedLanes() (lanes []*lane, keys []string) {
	for l := range w.excluded {
		lanes, keys = append(lanes, l), append(keys, l.key)
	}
	return lanes, keys
}

// loadAhead adds entries that were read after the frontier; the read left out the given
// lanes.
func (w *window) loadAhead(entries []*outbox.Entry, without []*lane) {
	from, before := w.frontier, w.bytes
	for _, e := range entries {
		w.frontier = e.Seq
		w.admit(e, false)
	}
	if len(entries) == 0 {
		w.atEnd = true
	}
	for _, l := range without {
		if !l.excluded { // the lane was included again meanwhile
			w.markUnread(l.key, from)
		}
	}
	w.adjustReadSize(len(entries), w.bytes-before)
}

// loadPass adds entries that a pass read.
func (w *window) loadPass(entries []*outbox.Entry) {
	before := w.bytes
	for _, e := range entries {
		w.pass.at = e.Seq
		w.admit(e, true)
	}
	w.adjustReadSize(len(entries), w.bytes-before)
	over := len(entries) == 0 || w.pass.at >= w.frontier || !w.pass.sweeping && w.pass.at >= w.pass.end
	w.frontier = max(w.frontier, w.pass.at)
	if over {
		w.caughtUp()
	}
}

// adjustChunk adapts the number of entries of a read to their size.
func (w *window) adjustReadSize(n int, bytes int64) {
	switch {
	case bytes > w.o.MaxBytes/4:
		w.readSize = max(1, w.readSize/2)
	case n == w.readSize:
		w.readSize = min(w.o.Batch, 2*w.readSize)
	}
}

// caughtUp ends a pass: all entries up to the frontier are known, except those of lanes
// that are closed or wait for the next pass.
func (w *window) caughtUp() {
	w.pass.active, w.pass.sweeping = false, false
	for l := range w.pass.lanes {
		delete(w.pass.lanes, l)
		l.skipped, l.last = 0, 0
		if l.closed != nil { // the pass found no entry of it
			w.open(l)
		}
		w.removeIfEmpty(l)
	}
}

// loadHeads adds the first entries of closed lanes.
func (w *window) loadHeads(lanes []*lane, entries []*outbox.Entry) {
	found := make(map[uint64]*outbox.Entry, len(entries))
	for _, e := range entries {
		found[e.Seq] = e
	}
	for _, l := range lanes {
		c := l.closed
		if c == nil || c.place != fetched {
			continue
		}
		e := found[c.head]
		w.closed.remove(l)
		if it := w.known[c.head]; e == nil || it != nil && it.state != resend {
			c.head = 0
			w.seek(l) // the entry was deleted
			continue
		}
		c.head = 0
		w.enqueue(l, e, true)
	}
}

// enqueue adds an entry to the queue of its lane.
func (w *window) enqueue(l *lane, e *outbox.Entry, head bool) {
	it := w.known[e.Seq]
	if it == nil {
		it = &item{seq: e.Seq, lane: l}
		w.known[e.Seq] = it
		l.items++
	}
	it.entry, it.size, it.head = e, int64(e.Size()), head
	if head {
		w.closed.countHead(l, 1)
		it.trial = l.closed.unanswered
	}
	w.loaded++
	w.bytes += it.size
	l.insert(it)
	w.ready.Push(l)
}

// admit enqueues an entry that was read, or skips it because earlier entries of its lane
// are sent first.
func (w *window) admit(e *outbox.Entry, passing bool) {
	if it := w.known[e.Seq]; it != nil && it.state != resend {
		return
	}
	l := w.lane(e.Order())
	_, reading := w.pass.lanes[l]
	reading = reading && passing
	switch {
	case l.closed != nil && (!reading || l.closed.place != seeking):
		w.skipClosed(l, e)
		return
	case l.skipped != 0 && !reading: // earlier entries of the lane come first
		w.skip(l, e.Seq)
		w.schedule(l)
		return
	}
	if reading && l.skipped <= e.Seq {
		l.skipped = e.Seq + 1
	}
	if l.closed != nil {
		l.closed.place = nowhere
		delete(w.pass.lanes, l)
		if l.skipped > l.last {
			l.skipped, l.last = 0, 0
		}
	}
	w.enqueue(l, e, l.closed != nil)
}

// skipClosed skips an entry of a closed lane, and leaves the lane out of reads once it has
// many.
func (w *window) skipClosed(l *lane, e *outbox.Entry) {
	l.skippedReads++
	if l.skippedReads >= excludeAfter*w.o.Batch && !l.excluded && len(w.excluded) < maxExcluded && l.closed.place != seeking {
		l.excluded, l.excludedFrom = true, e.Seq
		w.excluded[l] = struct{}{}
	}
	w.skip(l, e.Seq)
	if len(l.queue) > 0 && l.queue[0].seq > e.Seq { // it became visible late and must be sent first
		w.dropAll(l)
	}
	if l.closed.place == seeking && l.closed.head != 0 {
		delete(w.pass.lanes, l)
		delete(w.pass.waiting, l)
		l.closed.place = nowhere
	}
	w.schedule(l)
}

// include ends the exclusion of a lane from reads; what was left out is read again.
func (w *window) include(l *lane) {
	if l.excluded {
		l.excluded, w.atEnd = false, false
		delete(w.excluded, l)
		w.markUnread(l.key, l.excludedFrom)
	}
}

// markUnread notes that entries of a key after from may not have been read.
func (w *window) markUnread(key string, from uint64) {
	if w.frontier <= from {
		return
	}
	l := w.lane(key)
	if l.skipped == 0 || from+1 < l.skipped {
		l.skipped = from + 1
	}
	l.last = max(l.last, w.frontier)
	if l.closed == nil {
		w.schedulePass(l)
	}
}

func (w *window) lane(key string) *lane {
	l := w.lanes[key]
	if l == nil {
		l = &lane{key: key}
		w.lanes[key] = l
	}
	return l
}

// skip notes that an entry is in the store and not in memory. The first such entry of a
// closed lane is its head.
func (w *window) skip(l *lane, seq uint64) {
	if c := l.closed; c != nil {
		switch {
		case c.head == 0 && (l.skipped == 0 || seq < l.skipped):
			c.head = seq
			return
		case c.head == seq:
			return
		case seq < c.head:
			c.head, seq = seq, c.head
		}
	}
	if l.skipped == 0 || seq < l.skipped {
		l.skipped = seq
	}
	l.last = max(l.last, seq)
	if _, ok := w.pass.lanes[l]; ok {
		w.pass.end = max(w.pass.end, seq)
		w.schedulePass(l)
	}
}

// schedulePass registers a lane for a pass if it has skipped entries and may take them: in
// the current pass if that has not reached them yet, otherwise in the next.
func (w *window) schedulePass(l *lane) {
	if l.skipped == 0 || l.closed != nil && l.closed.place != seeking {
		return
	}
	if _, ok := w.pass.lanes[l]; ok {
		if l.skipped > w.pass.at {
			return
		}
		delete(w.pass.lanes, l)
	}
	w.pass.waiting[l] = struct{}{}
}

// heads returns the closed lanes whose heads are read next, and what to read: the first
// head, and those close enough to come with the same read.
func (w *window) heads() (lanes []*lane, from uint64, limit int) {
	fetch := w.closed.fetch
	if len(fetch) == 0 {
		return nil, 0, 0
	}
	slices.SortFunc(fetch, func(a, b *lane) int { return cmp.Compare(a.closed.head, b.closed.head) })
	n := 1
	for n < len(fetch) && fetch[n].closed.head-fetch[0].closed.head < uint64(2*n+2) {
		n++
	}
	lanes = append(lanes, fetch[:n]...)
	return lanes, lanes[0].closed.head - 1, int(lanes[n-1].closed.head-lanes[0].closed.head) + 1
}

// reset drops all items that are not in flight, because another process relays now and
// decides on its own order.
func (w *window) reset() {
	w.epoch++
	w.atEnd = false
	for _, l := range w.lanes {
		w.dropAll(l)
		w.schedule(l)
	}
}
