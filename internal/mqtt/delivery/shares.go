package delivery

// shares bound how many workers one origin may have at the same time, so that an origin
// whose tasks hang leaves some to the others, whatever keys it uses. An origin is known
// here only while something of it runs or waits for its turn: no more of them are
// than there are keys with work. Guarded by the scheduler's mutex.
type shares struct {
	most  int // of an origin; 0 is no bound
	of    map[uint64]*share
	spare []*share // for use again
}

// share is what one origin has of the workers.
type share struct {
	running int
	waiting ring[*keyQueue] // keys that are ready but for the bound
}

// sharesOf returns the shares of so many workers: all but an eighth, at least one left.
// With a single worker, or none to count, there is nothing to share.
func sharesOf(workers int) shares {
	if workers < 2 {
		return shares{}
	}
	return shares{most: workers - max(1, workers/8), of: make(map[uint64]*share)}
}

// full returns what an origin has when that is all it may have, else nil.
func (s *shares) full(origin uint64) *share {
	if s.most == 0 {
		return nil
	}
	if has := s.of[origin]; has != nil && has.running >= s.most {
		return has
	}
	return nil
}

// take counts a worker for an origin; nil where there is no bound.
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

// give ends take: one key that waits is ready again.
func (s *shares) give(origin uint64, has *share) {
	if has == nil {
		return
	}
	has.running--
	s.next(has)
	if has.running > 0 || has.waiting.len() > 0 {
		return
	}
	delete(s.of, origin)
	if len(has.waiting.slots) <= keptQueue {
		s.spare = append(s.spare, has)
	}
}

// next has one key wait for a worker that waited for its origin's share.
func (s *shares) next(has *share) {
	if has != nil && has.waiting.len() > 0 {
		q := has.waiting.pop()
		q.lane.enlist(q)
	}
}

// admit counts a worker for the key's oldest item, or has the key wait until one of its
// origin's workers is free: of the lane, where that has a limit of its own, or of all.
func (l *Lane) admit(q *keyQueue) bool {
	w := q.items.front()
	q.origin = 0
	if !w.shares || w.origin == 0 {
		return true
	}
	all := &l.scheduler.shares
	if has := l.shares.full(w.origin); has != nil {
		has.waiting.push(q)
		// It may have been woken in place of one of another lane, which has room.
		if other := all.of[w.origin]; other != nil && other.running < all.most {
			all.next(other)
		}
		return false
	}
	if has := all.full(w.origin); has != nil {
		has.waiting.push(q)
		return false
	}
	q.origin, q.ofLane, q.ofAll = w.origin, l.shares.take(w.origin), all.take(w.origin)
	return true
}

// leave ends what admit counted.
func (l *Lane) leave(q *keyQueue) {
	if q.origin == 0 {
		return
	}
	origin, ofLane, ofAll := q.origin, q.ofLane, q.ofAll
	q.origin, q.ofLane, q.ofAll = 0, nil, nil
	l.shares.give(origin, ofLane)
	l.scheduler.shares.give(origin, ofAll)
}
