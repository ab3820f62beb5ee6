package outbox

// room reports whether the window wants to read on.
func (w *window) room() bool {
	return !w.atEnd && w.loaded <= 3*w.o.Batch && w.bytes < w.o.MaxBytes
}

// from is where to read on.
func (w *window) from() uint64 {
	if w.pos < w.frontier && len(w.behind) == 0 && !w.sweeping {
		w.pos = w.frontier
	}
	return w.pos
}

// sweep starts to read all from the start. Nothing is sent twice by that; it
// finds entries that became visible after later ones, as those of long
// transactions do.
func (w *window) sweep() { w.pos, w.sweeping, w.atEnd = 0, true, false }

// load takes what was read after from. It is of no use when pos went back
// meanwhile.
func (w *window) load(from uint64, entries []*Entry) {
	if w.pos != from {
		return
	}
	before := w.bytes
	for _, e := range entries {
		w.pos = e.Seq
		w.take(e)
	}
	if len(entries) == 0 {
		w.atEnd = true
		w.pos = max(w.pos, w.frontier)
	}
	w.frontier = max(w.frontier, w.pos)
	if w.pos >= w.frontier {
		w.caughtUp()
	}
	switch {
	case w.bytes-before > w.o.MaxBytes/4:
		w.chunk = max(1, w.chunk/2)
	case len(entries) == w.chunk:
		w.chunk = min(w.o.Batch, 2*w.chunk)
	}
}

// take decides about one entry that was read.
func (w *window) take(e *Entry) {
	it := w.known[e.Seq]
	if it != nil && it.state != lost {
		return
	}
	l := w.lane(e.Order())
	if !l.takes() {
		l.skip(e.Seq)
		w.dropSkipped(l) // it became visible late, and goes first
	}
	if !l.takes() {
		return
	}
	if it == nil {
		it = &item{seq: e.Seq, lane: l}
		w.known[e.Seq] = it
		l.items++
	}
	it.entry, it.size = e, int64(e.Size())
	w.loaded++
	w.bytes += it.size
	l.insert(it)
	if l.skipped != 0 && e.Seq >= l.skipped {
		l.skipped = e.Seq + 1
	}
	if l.closed {
		delete(w.behind, l)
		w.await(l)
		return
	}
	w.turns.push(l)
}

func (w *window) lane(key string) *lane {
	l := w.lanes[key]
	if l == nil {
		l = &lane{key: key}
		w.lanes[key] = l
	}
	return l
}

// goBack makes the lane's skipped entries be read, when it takes entries.
func (w *window) goBack(l *lane) {
	if l.skipped == 0 || !l.takes() {
		return
	}
	w.behind[l] = struct{}{}
	if w.pos >= l.skipped {
		w.pos = l.skipped - 1
	}
	w.atEnd = false
}

// caughtUp notes that all that is in the store up to the frontier is known, but
// for lanes that take nothing.
func (w *window) caughtUp() {
	w.sweeping = false
	for l := range w.behind {
		l.skipped = 0
		delete(w.behind, l)
		w.collect(l)
	}
}
