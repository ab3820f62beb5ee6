package relay

import (
	"time"
)

// connectionLost marks the held items to be sent once more, and returns their number.
func (w *window) connectionLost(now time.Time) int {
	w.releaseHeld(now)
	lanes, n := map[*lane]struct{}{}, 0
	for {
		it, ok := w.held.pop()
		if !ok {
			break
		}
		it.state, it.resent = lost, true
		w.skip(it.lane, it.seq)
		lanes[it.lane] = struct{}{}
		n++
	}
	for l := range lanes {
		w.dropSkipped(l)
		w.settle(l)
	}
	return n
}

// dropSkipped drops what is queued behind entries that are to be read again.
func (w *window) dropSkipped(l *lane) {
	first := l.skipped
	if l.closed != nil && l.closed.head != 0 {
		first = l.closed.head
	}
	for i, it := range l.queue {
		if it.seq < first {
			continue
		}
		behind := l.queue[i:]
		l.queue = l.queue[:i:i]
		for _, it := range behind {
			w.drop(it)
		}
		return
	}
}

// releaseHeld releases the items whose Hold is over.
func (w *window) releaseHeld(now time.Time) {
	for {
		it, ok := w.held.peek()
		if !ok || now.Sub(it.acked) < w.o.Hold {
			return
		}
		w.held.pop()
		w.release(it, now)
	}
}

// heldUntil returns how long the first held item still has to wait.
func (w *window) heldUntil(now time.Time) time.Duration {
	it, ok := w.held.peek()
	if !ok {
		return time.Hour
	}
	return max(0, w.o.Hold-now.Sub(it.acked))
}
