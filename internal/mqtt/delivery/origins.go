package delivery

// originCells is how many cells a row of [origins] has, a power of two.
const originCells = 1 << 10

// origins counts what each origin has of the bounds. An origin has a cell in each of
// two rows, which its hash chooses, and what it has is the smaller one: memory is the
// same whatever arrives, and another is taken for it only when both cells are shared.
// Hashes differ from process to process, so that nobody can choose whose cells to share.
type origins struct {
	rows *[2][originCells]room // nil before the first item: a connection may never get one
}

func (o *origins) cells(origin uint64) [2]*room {
	if o.rows == nil {
		o.rows = new([2][originCells]room)
	}
	return [2]*room{&o.rows[0][origin%originCells], &o.rows[1][origin>>32%originCells]}
}

// add counts items of an origin, less than 0 of those that are gone; 0 is no origin.
func (o *origins) add(origin uint64, count int, bytes int64) {
	if origin == 0 {
		return
	}
	for _, c := range o.cells(origin) {
		c.count += count
		c.bytes += bytes
	}
}

func (o *origins) of(origin uint64) room {
	c := o.cells(origin)
	return room{min(c[0].count, c[1].count), min(c[0].bytes, c[1].bytes)}
}

// half is half of the bounds, up to which there are no shares. As many items as there
// are workers have room in it: while one is idle nobody has too much.
func (s *Scheduler) half() room {
	half := s.bound().half()
	half.count = max(half.count, s.opts.Workers)
	return half
}

// Shared returns how much of the bounds, at their end, is shared.
func (s *Scheduler) Shared() (count int, bytes int64) {
	most, half := s.bound(), s.half()
	return most.count - half.count, most.bytes - half.bytes
}

// Over reports whether another item of an origin, of this size in bytes, is beyond its
// share: once half of the bounds is used up, and all workers have an item, an origin may have an eighth of them, and
// one item in any case.
func (s *Scheduler) Over(origin uint64, size int) bool {
	most, half := s.bound(), s.half()
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.load(); now.count < half.count && now.bytes+int64(size) <= half.bytes {
		return false
	}
	has := s.origins.of(origin)
	return has.count > 0 && (has.count >= most.count/8 || has.bytes+int64(size) > most.bytes/8)
}
