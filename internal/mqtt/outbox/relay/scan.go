package relay

import (
	"cmp"
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// pass reads again what lanes skipped. Lanes that want it while one is under way
// wait for the next.
type pass struct {
	on       bool
	sweeping bool   // all from the start, for all lanes
	at       uint64 // read up to here
	end      uint64 // nothing behind it was skipped
	behind   map[*lane]struct{}
	later    map[*lane]struct{}
}

// maxClosed bounds the closed lanes, of some hundred bytes each: at the bound
// nothing more is read at the frontier until some are open.
const maxClosed = 250_000

// heavyAfter is how often, in batches, a closed lane is met in what is read
// until the store is asked to leave it out, and maxHeavy for how many lanes that
// is done.
const (
	heavyAfter = 4
	maxHeavy   = 32
)

// room reports whether the window takes more items.
func (w *window) room() bool {
	return w.loaded+max(1, w.o.Batch/4) <= 3*w.o.Batch && w.bytes < w.o.MaxBytes
}

// ahead reports whether the window wants to read on at the frontier.
func (w *window) ahead() bool { return !w.atEnd && w.shut.lanes < maxClosed && w.room() }

// begin begins a pass, when somebody waits for one, or for a sweep: nothing is
// sent twice by that; it finds entries that became visible after later ones, as
// those of long transactions do.
func (p *pass) begin(sweep bool) {
	if p.on || !sweep && len(p.later) == 0 {
		return
	}
	p.on, p.sweeping = true, sweep
	p.behind, p.later = p.later, p.behind
	first := true
	p.at, p.end = 0, 0
	for l := range p.behind {
		if first || l.skipped <= p.at {
			p.at, first = l.skipped-1, false
		}
		p.end = max(p.end, l.last)
	}
	if sweep {
		p.at = 0
	}
}

// without has the lanes that are left out of what is read.
func (w *window) without() (lanes []*lane, keys []string) {
	for l := range w.heavy {
		lanes, keys = append(lanes, l), append(keys, l.key)
	}
	return lanes, keys
}

// loadAhead takes what was read at the frontier, without some lanes.
func (w *window) loadAhead(entries []*outbox.Entry, without []*lane) {
	from, before := w.frontier, w.bytes
	for _, e := range entries {
		w.frontier = e.Seq
		w.take(e, false)
	}
	if len(entries) == 0 {
		w.atEnd = true
	}
	for _, l := range without {
		if !l.left { // it was included meanwhile
			w.missed(l.key, from)
		}
	}
	w.sized(len(entries), w.bytes-before)
}

// loadPass takes what a pass read.
func (w *window) loadPass(entries []*outbox.Entry) {
	before := w.bytes
	for _, e := range entries {
		w.pass.at = e.Seq
		w.take(e, true)
	}
	w.sized(len(entries), w.bytes-before)
	over := len(entries) == 0 || w.pass.at >= w.frontier || !w.pass.sweeping && w.pass.at >= w.pass.end
	w.frontier = max(w.frontier, w.pass.at)
	if over {
		w.caughtUp()
	}
}

func (w *window) sized(n int, bytes int64) {
	switch {
	case bytes > w.o.MaxBytes/4:
		w.chunk = max(1, w.chunk/2)
	case n == w.chunk:
		w.chunk = min(w.o.Batch, 2*w.chunk)
	}
}

// caughtUp notes that all entries up to the frontier are known, except those of lanes that
// are closed or wait for the next pass.
func (w *window) caughtUp() {
	w.pass.on, w.pass.sweeping = false, false
	for l := range w.pass.behind {
		delete(w.pass.behind, l)
		l.skipped, l.last = 0, 0
		if l.closed != nil { // it found no entry
			w.open(l)
		}
		w.collect(l)
	}
}

// loadHeads takes the heads of closed lanes that were read.
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
		w.shut.remove(l)
		if it := w.known[c.head]; e == nil || it != nil && it.state != lost {
			c.head = 0
			w.seek(l) // it is gone
			continue
		}
		c.head = 0
		w.put(l, e, true)
	}
}

// put puts an entry into the queue of its lane.
func (w *window) put(l *lane, e *outbox.Entry, head bool) {
	it := w.known[e.Seq]
	if it == nil {
		it = &item{seq: e.Seq, lane: l}
		w.known[e.Seq] = it
		l.items++
	}
	it.entry, it.size, it.head = e, int64(e.Size()), head
	if head {
		w.shut.taken(l, 1)
		it.trial = l.closed.silent
	}
	w.loaded++
	w.bytes += it.size
	l.insert(it)
	w.turns.push(l)
}

// take decides about one entry that was read, at the frontier or in a pass.
func (w *window) take(e *outbox.Entry, passing bool) {
	if it := w.known[e.Seq]; it != nil && it.state != lost {
		return
	}
	l := w.lane(e.Order())
	_, reading := w.pass.behind[l]
	reading = reading && passing
	switch {
	case l.closed != nil && (!reading || l.closed.place != seeking):
		w.pastClosed(l, e)
		return
	case l.skipped != 0 && !reading: // earlier ones come first
		w.skip(l, e.Seq)
		w.settle(l)
		return
	}
	if reading && l.skipped <= e.Seq {
		l.skipped = e.Seq + 1
	}
	if l.closed != nil {
		l.closed.place = nowhere
		delete(w.pass.behind, l)
		if l.skipped > l.last {
			l.skipped, l.last = 0, 0
		}
	}
	w.put(l, e, l.closed != nil)
}

// pastClosed passes by an entry of a closed lane.
func (w *window) pastClosed(l *lane, e *outbox.Entry) {
	l.seen++
	if l.seen >= heavyAfter*w.o.Batch && !l.left && len(w.heavy) < maxHeavy && l.closed.place != seeking {
		l.left, l.leftFrom = true, e.Seq
		w.heavy[l] = struct{}{}
	}
	w.skip(l, e.Seq)
	if len(l.queue) > 0 && l.queue[0].seq > e.Seq { // it became visible late, and goes first
		w.dropAll(l)
	}
	if l.closed.place == seeking && l.closed.head != 0 {
		delete(w.pass.behind, l)
		delete(w.pass.later, l)
		l.closed.place = nowhere
	}
	w.settle(l)
}

// include has a lane read again that was left out.
func (w *window) include(l *lane) {
	if l.left {
		l.left, w.atEnd = false, false
		delete(w.heavy, l)
		w.missed(l.key, l.leftFrom)
	}
}

// missed notes that entries of a key after from may not have been seen.
func (w *window) missed(key string, from uint64) {
	if w.frontier <= from {
		return
	}
	l := w.lane(key)
	if l.skipped == 0 || from+1 < l.skipped {
		l.skipped = from + 1
	}
	l.last = max(l.last, w.frontier)
	if l.closed == nil {
		w.goBack(l)
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

// skip notes that an entry is in the store only. The first of a closed lane is
// its head.
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
	if _, ok := w.pass.behind[l]; ok {
		w.pass.end = max(w.pass.end, seq)
		w.goBack(l)
	}
}

// goBack makes the lane's skipped entries be read, when it takes entries: in
// this pass, if that comes to them, or in the next.
func (w *window) goBack(l *lane) {
	if l.skipped == 0 || l.closed != nil && l.closed.place != seeking {
		return
	}
	if _, ok := w.pass.behind[l]; ok {
		if l.skipped > w.pass.at {
			return
		}
		delete(w.pass.behind, l)
	}
	w.pass.later[l] = struct{}{}
}

// heads are the closed lanes whose heads are to be read next, and what to read:
// the first, and those that are near enough to come with it.
func (w *window) heads() (lanes []*lane, from uint64, limit int) {
	fetch := w.shut.fetch
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

// lose drops all that is not in flight: another process relays, and has its own
// order.
func (w *window) lose() {
	w.epoch++
	w.atEnd = false
	for _, l := range w.lanes {
		w.dropAll(l)
		w.settle(l)
	}
}
