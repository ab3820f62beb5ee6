package relay

import (
	"time"
)

// connectionLost marks the kept items to be sent once more, and returns their number.
func (w *window) connectionLost(now time.Time) int {
	w.releaseKept(now)
	lanes, n := map[*lane]struct{}{}, 0
	for w.kept.Len() > 0 {
		it := w.kept.Pop()
		it.state, it.resent = resend, true
		w.skip(it.lane, it.seq)
		lanes[it.lane] = struct{}{}
		n++
	}
	for l := range lanes {
		w.dropSkipped(l)
		w.schedule(l)
	}
	return n
}

// dropSkipped drops queued items that come after entries that are read again.
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

// releaseKept releases the items whose KeepAcknowledged is over.
func (w *window) releaseKept(now time.Time) {
	for w.kept.Len() > 0 && now.Sub((*w.kept.Front()).acked) >= w.o.KeepAcknowledged {
		w.release(w.kept.Pop(), now)
	}
}

// keptFor returns how long the first kept item still has to wait.
func (w *window) keptFor(now time.Time) time.Duration {
	if w.kept.Len() == 0 {
		return time.Hour
	}
	return max(0, w.o.KeepAcknowledged-now.Sub((*w.kept.Front()).acked))
}
