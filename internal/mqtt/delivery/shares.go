package delivery

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"

// shares limits the workers that one origin may have at the same time, so that
// an origin whose tasks hang leaves some to the others, whatever keys it uses.
// It contains an origin only while a task of it runs or waits for its turn, so
// there are at most as many origins as keys with work. Guarded by the
// scheduler's mutex.
type shares struct {
	most  int // workers per origin; 0 means no limit
	of    map[uint64]*share
	spare []*share // for reuse
}

// share is the part of the workers that one origin uses.
type share struct {
	running int
	waiting queue.Ring[*keyQueue] // keys that are ready except for the limit
}

// sharesOf returns the shares of a number of workers: all but an eighth for one
// origin, with at least one left for others. For one worker or no limit there
// are no shares.
func sharesOf(workers int) shares {
	if workers < 2 {
		return shares{}
	}
	return shares{most: workers - max(1, workers/8), of: make(map[uint64]*share)}
}

// resize changes the number of workers. Keys that wait for their origin's share are made
// ready, and wait again if the new share is used up, too.
func (s *shares) resize(workers int) {
	fresh := sharesOf(workers)
	s.most = fresh.most
	if s.of == nil {
		s.of = fresh.of
	}
	for _, has := range s.of {
		for has.waiting.Len() > 0 {
			s.next(has)
		}
	}
}

// full returns the share of an origin if it is used up, and nil otherwise.
func (s *shares) full(origin uint64) *share {
	if s.most == 0 {
		return nil
	}
	if has := s.of[origin]; has != nil && has.running >= s.most {
		return has
	}
	return nil
}

// take counts a worker for an origin. It returns nil if there is no limit.
func (s *shares) take(origin uint64) *share {
	if s.most == 0 {
		return nil
	}
	has := s.of[origin]
	if has == nil {
		if n := len(s.spare); n > 0 {
			has, s.spare = s.spare[n-1], s.spare[:n-1]
		} else {
			has = new(share)
		}
		s.of[origin] = has
	}
	has.running++
	return has
}

// give returns a worker to a share, which makes one of its waiting keys ready.
func (s *shares) give(origin uint64, has *share) {
	if has == nil {
		return
	}
	has.running--
	s.next(has)
	if has.running > 0 || has.waiting.Len() > 0 {
		return
	}
	delete(s.of, origin)
	if has.waiting.Cap() <= keptQueue {
		s.spare = append(s.spare, has)
	}
}

// next makes one key ready that waited for its origin's share.
func (s *shares) next(has *share) {
	if has != nil && has.waiting.Len() > 0 {
		q := has.waiting.Pop()
		q.lane.enlist(q)
	}
}

// admit counts a worker for the key's oldest item. If the share of its origin
// is used up, in the lane if that has its own limit or else overall, the key
// waits for a worker of that share.
func (l *Lane) admit(q *keyQueue) bool {
	w := q.items.Front()
	q.origin = 0
	if !w.shares || w.origin == 0 {
		return true
	}
	all := &l.scheduler.shares
	if has := l.shares.full(w.origin); has != nil {
		has.waiting.Push(q)
		// The key may have been woken in place of one of another lane, which
		// has room.
		if other := all.of[w.origin]; other != nil && other.running < all.most {
			all.next(other)
		}
		return false
	}
	if has := all.full(w.origin); has != nil {
		has.waiting.Push(q)
		return false
	}
	q.origin, q.ofLane, q.ofAll = w.origin, l.shares.take(w.origin), all.take(w.origin)
	return true
}

// leave reverses admit.
func (l *Lane) leave(q *keyQueue) {
	if q.origin == 0 {
		return
	}
	origin, ofLane, ofAll := q.origin, q.ofLane, q.ofAll
	q.origin, q.ofLane, q.ofAll = 0, nil, nil
	l.shares.give(origin, ofLane)
	l.scheduler.shares.give(origin, ofAll)
}
