package relay

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// closedLanes has the lanes that wait because an entry failed. A lane first pauses, in a
// heap by the end of its pause. Then its head is read and tried. At most a quarter of the
// batch is tried at a time, and at most retryRate per second after a first batch, so that
// entries that fail for long cost the other lanes little. A successful attempt does not
// count.
type closedLanes struct {
	o          *Options
	pausing    pauses
	fetch      []*lane // whose heads are read next
	lanes      int     // number of closed lanes
	heads      int     // number of heads in fetch, in queues and in flight
	tokens     float64
	filled     time.Time
	order      queue.Ring[closing]
	unanswered unanswered
}

// closing records that a lane was closed. The records are in the order of closing; one is
// stale when the lane has been opened since.
type closing struct {
	lane   *lane
	closed *closedLane
}

func (x closing) stale() bool { return x.lane.closed != x.closed }

// record appends a lane to the order of closing, and removes stale records when they are
// many.
func (s *closedLanes) record(l *lane) {
	s.order.Push(closing{l, l.closed})
	if s.order.Len() < 2*s.lanes+64 {
		return
	}
	var kept queue.Ring[closing]
	for x := range s.order.All {
		if !x.stale() {
			kept.Push(x)
		}
	}
	s.order = kept
}

// oldest calls yield for the closed lanes, the one closed first, until yield returns false.
func (s *closedLanes) oldest(yield func(*lane) bool) {
	for s.order.Len() > 0 && s.order.Front().stale() {
		s.order.Pop()
	}
	for x := range s.order.All {
		if !x.stale() && !yield(x.lane) {
			return
		}
	}
}

// firstError returns the error of the lane that was closed first.
func (s *closedLanes) firstError() (err error) {
	s.oldest(func(l *lane) bool {
		err = l.closed.err
		return false
	})
	return err
}

// retryRate is how many heads are tried per second after the first batch, while they fail.
const retryRate = 100

func newClosedLanes(o *Options) closedLanes { return closedLanes{o: o, tokens: float64(o.Batch)} }

type pauses []*lane

func (p pauses) Len() int           { return len(p) }
func (p pauses) Less(i, j int) bool { return p[i].closed.retryAt.Before(p[j].closed.retryAt) }
func (p pauses) Swap(i, j int) {
	p[i], p[j] = p[j], p[i]
	p[i].closed.index, p[j].closed.index = i, j
}

func (p *pauses) Push(x any) {
	l := x.(*lane) //nolint:forcetypeassert // of container/heap
	l.closed.index = len(*p)
	*p = append(*p, l)
}

func (p *pauses) Pop() any {
	n := len(*p) - 1
	l := (*p)[n]
	(*p)[n] = nil
	*p = (*p)[:n]
	return l
}

// pause returns the n-th pause of a lane, counted from 0, with jitter.
func pause(o *Options, n int) time.Duration {
	d := o.MaxBackoff
	if n < 32 && o.MinBackoff<<n < d && o.MinBackoff<<n > 0 {
		d = o.MinBackoff << n
	}
	return time.Duration(float64(d) * (0.75 + rand.Float64()/2))
}

// startPause puts a lane into the heap of pausing lanes.
func (s *closedLanes) startPause(l *lane) {
	l.closed.place = pausing
	heap.Push(s.pausingHeap(l), l)
}

// remove takes a lane out of the heap, or out of those whose heads are read next.
func (s *closedLanes) remove(l *lane) {
	switch l.closed.place {
	case pausing:
		heap.Remove(s.pausingHeap(l), l.closed.index)
	case fetched:
		for i, x := range s.fetch {
			if x == l {
				s.fetch = append(s.fetch[:i], s.fetch[i+1:]...)
				s.countHead(l, -1)
				break
			}
		}
	}
	l.closed.place = nowhere
}

// countHead adds n to the number of heads that are being tried.
func (s *closedLanes) countHead(l *lane, n int) {
	s.heads += n
	if l.closed.unanswered {
		s.unanswered.trials += n
	}
}

// refill adds the tokens for the time since the last call.
func (s *closedLanes) refill(now time.Time) {
	if !s.filled.IsZero() {
		s.tokens = min(float64(s.o.Batch), s.tokens+retryRate*now.Sub(s.filled).Seconds())
	}
	s.filled = now
}

// refund returns the token of an attempt that succeeded.
func (s *closedLanes) refund() { s.tokens = min(float64(s.o.Batch), s.tokens+1) }

func (s *closedLanes) room() bool { return s.heads < max(1, s.o.Batch/4) }

// due starts reading the heads of the lanes whose pause is over, and returns how long it is
// until the next pause ends.
func (w *window) due(now time.Time) time.Duration {
	w.closed.refill(now)
	return min(w.dueFrom(&w.closed.pausing, now), w.dueFrom(&w.closed.unanswered.pausing, now))
}

func (w *window) dueFrom(from *pauses, now time.Time) time.Duration {
	s := &w.closed
	for len(*from) > 0 {
		l := (*from)[0]
		switch {
		case now.Before(l.closed.retryAt):
			return l.closed.retryAt.Sub(now)
		case !s.room():
			return time.Hour // the next outcome wakes the worker
		case s.tokens < 1:
			return time.Millisecond + time.Duration((1-s.tokens)/retryRate*float64(time.Second))
		}
		if l.closed.unanswered {
			if wait := s.unanswered.due(now); wait > 0 {
				return wait
			}
		}
		s.tokens--
		heap.Pop(from)
		l.closed.place = nowhere
		if l.closed.head != 0 {
			l.closed.place = fetched
			s.fetch = append(s.fetch, l)
			s.countHead(l, 1)
			continue
		}
		w.seek(l)
	}
	return time.Hour
}

// seek makes a pass look for the first entry of a closed lane.
func (w *window) seek(l *lane) {
	if l.skipped == 0 { // the lane has no entries in the store
		w.open(l)
		w.removeIfEmpty(l)
		return
	}
	w.include(l)
	l.closed.place = seeking
	w.schedulePass(l)
}

// retryNow ends all pauses. Lanes that were not refused come first.
func (w *window) retryNow(now time.Time) {
	for _, l := range w.closed.pausing {
		l.closed.retryAt = time.Time{}
		if l.closed.reason != "" {
			l.closed.retryAt = now
		}
	}
	heap.Init(&w.closed.pausing)
	w.closed.unanswered.until = time.Time{} // two more at a time
}

// retryKey ends the pause of one key, and reports whether there was one.
func (w *window) retryKey(key string, now time.Time) bool {
	l := w.lanes[key]
	if l == nil || l.closed == nil || l.closed.place != pausing {
		return false
	}
	w.closed.remove(l)
	l.closed.retryAt = now
	w.closed.startPause(l)
	if l.closed.unanswered {
		w.closed.unanswered.until = time.Time{}
	}
	return true
}

// close closes the lane of an item that failed and records the failure. It reports whether
// the lane was open.
func (w *window) close(it *item, e *outbox.Entry, f failure, now time.Time) (was bool) {
	l := it.lane
	c := l.closed
	if was = c == nil; was {
		c = &closedLane{since: now, seq: it.seq}
		l.closed, l.skippedReads = c, 0
		w.closed.lanes++
		w.closed.record(l)
		delete(w.pass.lanes, l)
		delete(w.pass.waiting, l)
	}
	if it.alone || it.seq < c.seq {
		if it.seq != c.seq {
			c.attempts = 0
		}
		c.seq = it.seq
	}
	if it.seq == c.seq {
		c.attempts++
		c.err, c.reason, c.awaited = f.err, f.reason, f.awaited
		w.closed.unanswered.mark(c, f.unanswered)
		c.topic, c.id = short(e.Topic), short(e.ID)
		if c.topic == l.key { // share one string
			c.topic = l.key
		}
	}
	return was
}

// open opens a lane.
func (w *window) open(l *lane) {
	c := l.closed
	if c == nil {
		return
	}
	w.closed.remove(l)
	w.closed.lanes--
	w.closed.unanswered.mark(c, false)
	l.closed = nil
	delete(w.pass.lanes, l)
	delete(w.pass.waiting, l)
	w.include(l)
	if c.head != 0 {
		w.skip(l, c.head)
	}
}

// schedule starts the next step of a lane that has nothing in flight.
func (w *window) schedule(l *lane) {
	if l.closed == nil {
		w.schedulePass(l)
		return
	}
	if l.inFlight == 0 && l.rejecting == 0 && len(l.queue) == 0 && l.closed.place == nowhere {
		w.closed.startPause(l)
	}
}

// short shortens a text that is kept for an operator.
func short(s string) string { return s[:min(len(s), 256)] }
