package relay

import (
	"container/heap"
	"math/rand/v2"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// shut has the closed lanes. Those that pause are in a heap by the end of their
// pause. Then the head of each is to be read, and it is tried; but no more than
// a quarter of the batch at a time, and not more often than retryRate beyond a
// first batch, so that what is refused for long costs the others little. An
// attempt that goes through costs nothing.
type shut struct {
	o       *Options
	pausing pauses
	fetch   []*lane // whose heads are to be read
	lanes   int
	heads   int // in fetch, in queues, and in flight
	tokens  float64
	filled  time.Time
	order   fifo[inOrder]
	silence silence
}

// inOrder are the lanes as they were closed; it is stale when the lane is open
// again, or closed anew.
type inOrder struct {
	lane   *lane
	closed *closed
}

func (x inOrder) stale() bool { return x.lane.closed != x.closed }

func (s *shut) noted(l *lane) {
	s.order.push(inOrder{l, l.closed})
	if s.order.len() < 2*s.lanes+64 {
		return
	}
	var kept fifo[inOrder]
	for x, ok := s.order.pop(); ok; x, ok = s.order.pop() {
		if !x.stale() {
			kept.push(x)
		}
	}
	s.order = kept
}

// oldest calls yield for the closed lanes in the order in which they were
// closed, until it returns false.
func (s *shut) oldest(yield func(*lane) bool) {
	for x, ok := s.order.peek(); ok && x.stale(); x, ok = s.order.peek() {
		s.order.pop()
	}
	for x := range s.order.all {
		if !x.stale() && !yield(x.lane) {
			return
		}
	}
}

// why returns the error of the lane that was closed first.
func (s *shut) why() (err error) {
	s.oldest(func(l *lane) bool {
		err = l.closed.err
		return false
	})
	return err
}

// retryRate is how many heads are tried in a second beyond the first batch,
// while they fail.
const retryRate = 100

func newShut(o *Options) shut { return shut{o: o, tokens: float64(o.Batch)} }

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

func (s *shut) await(l *lane) {
	l.closed.place = pausing
	heap.Push(s.heap(l), l)
}

// remove takes a lane out of wherever it waits.
func (s *shut) remove(l *lane) {
	switch l.closed.place {
	case pausing:
		heap.Remove(s.heap(l), l.closed.index)
	case fetched:
		for i, x := range s.fetch {
			if x == l {
				s.fetch = append(s.fetch[:i], s.fetch[i+1:]...)
				s.taken(l, -1)
				break
			}
		}
	}
	l.closed.place = nowhere
}

// taken counts the head of a lane as taken to be tried, or, with -1, no longer.
func (s *shut) taken(l *lane, n int) {
	s.heads += n
	if l.closed.silent {
		s.silence.trials += n
	}
}

func (s *shut) refill(now time.Time) {
	if !s.filled.IsZero() {
		s.tokens = min(float64(s.o.Batch), s.tokens+retryRate*now.Sub(s.filled).Seconds())
	}
	s.filled = now
}

// worth refunds the token of an attempt that succeeded.
func (s *shut) worth() { s.tokens = min(float64(s.o.Batch), s.tokens+1) }

func (s *shut) room() bool { return s.heads < max(1, s.o.Batch/4) }

// due has the heads read of those lanes whose pause is over, and returns how
// long it will be until there is one more.
func (w *window) due(now time.Time) time.Duration {
	w.shut.refill(now)
	return min(w.dueOf(&w.shut.pausing, now), w.dueOf(&w.shut.silence.pausing, now))
}

func (w *window) dueOf(from *pauses, now time.Time) time.Duration {
	s := &w.shut
	for len(*from) > 0 {
		l := (*from)[0]
		switch {
		case now.Before(l.closed.retryAt):
			return l.closed.retryAt.Sub(now)
		case !s.room():
			return time.Hour // the next outcome is looked at
		case s.tokens < 1:
			return time.Millisecond + time.Duration((1-s.tokens)/retryRate*float64(time.Second))
		}
		if l.closed.silent {
			if wait := s.silence.due(now); wait > 0 {
				return wait
			}
		}
		s.tokens--
		heap.Pop(from)
		l.closed.place = nowhere
		if l.closed.head != 0 {
			l.closed.place = fetched
			s.fetch = append(s.fetch, l)
			s.taken(l, 1)
			continue
		}
		w.seek(l)
	}
	return time.Hour
}

// seek has the first entry of a closed lane looked for in a pass.
func (w *window) seek(l *lane) {
	if l.skipped == 0 { // there is nothing
		w.open(l)
		w.collect(l)
		return
	}
	w.include(l)
	l.closed.place = seeking
	w.goBack(l)
}

// retryNow ends all pauses; first come those that nobody refused.
func (w *window) retryNow(now time.Time) {
	for _, l := range w.shut.pausing {
		l.closed.retryAt = time.Time{}
		if l.closed.reason != "" {
			l.closed.retryAt = now
		}
	}
	heap.Init(&w.shut.pausing)
	w.shut.silence.until = time.Time{} // the next few
}

// close closes the lane of an item that failed, and notes what failed; it
// reports whether the lane was open.
func (w *window) close(it *item, e *outbox.Entry, f failure, now time.Time) (was bool) {
	l := it.lane
	c := l.closed
	if was = c == nil; was {
		c = &closed{since: now, seq: it.seq}
		l.closed, l.seen = c, 0
		w.shut.lanes++
		w.shut.noted(l)
		delete(w.pass.behind, l)
		delete(w.pass.later, l)
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
		w.shut.silence.mark(c, f.silent)
		c.topic, c.id = short(e.Topic), short(e.ID)
		if c.topic == l.key { // one text is enough
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
	w.shut.remove(l)
	w.shut.lanes--
	w.shut.silence.mark(c, false)
	l.closed = nil
	delete(w.pass.behind, l)
	delete(w.pass.later, l)
	w.include(l)
	if c.head != 0 {
		w.skip(l, c.head)
	}
}

// settle has a lane that has nothing in flight do what is next.
func (w *window) settle(l *lane) {
	if l.closed == nil {
		w.goBack(l)
		return
	}
	if l.flying == 0 && l.rejecting == 0 && len(l.queue) == 0 && l.closed.place == nowhere {
		w.shut.await(l)
	}
}

// short bounds a text that is kept for an operator.
func short(s string) string { return s[:min(len(s), 256)] }
