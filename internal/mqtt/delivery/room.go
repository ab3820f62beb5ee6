package delivery

import "slices"

// room is a number of items and the sum of their sizes in bytes.
type room struct {
	count int
	bytes int64
}

func (r room) half() room { return room{max(1, r.count/2), r.bytes / 2} }

// wish is who waits for room, within which bounds, and for how many bytes.
type wish struct {
	most room
	size int64
	f    func()
}

// Held is an item that is kept elsewhere.
type Held struct {
	Origin uint64 // see [Item.Origin]
	Size   int    // in bytes
}

// Room returns how many items may be submitted, and of how many bytes together,
// before the bounds are reached, all of it doubled or not. Negative is how much
// they are exceeded by; empty reports that nothing is there at all, so that one
// item may be larger than the bound. As many items as there are workers always
// have room.
func (s *Scheduler) Room(twice bool) (count int, bytes int64, empty bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := s.bound()
	if twice {
		most = room{2 * most.count, 2 * most.bytes}
	}
	now := s.load()
	return most.count - now.count, most.bytes - now.bytes, now.count <= 0
}

// AwaitRoom has f called once there is room for an item of this size in bytes
// and an eighth of the bound besides, so that whoever waits goes on for a while
// then: at once, or on a worker's goroutine. f must not block. Once for each
// call; not at all when the scheduler is stopped before.
func (s *Scheduler) AwaitRoom(size int, f func()) { s.awaitRoom(wish{s.bound(), int64(size), f}) }

// AwaitHalf is AwaitRoom for room within half of the bounds, where there are no shares.
func (s *Scheduler) AwaitHalf(size int, f func()) {
	s.awaitRoom(wish{s.half(), int64(size), f})
}

func (s *Scheduler) awaitRoom(w wish) {
	s.mu.Lock()
	now := s.eased(w)
	if !now && !s.stopped {
		s.awaited = append(s.awaited, w)
	}
	s.mu.Unlock()
	if now {
		w.f()
	}
}

// Hold counts items that are kept elsewhere against the bounds, until Release.
func (s *Scheduler) Hold(items ...Held) { s.hold(items, 1) }

// Release ends Hold for items.
func (s *Scheduler) Release(items ...Held) { s.hold(items, -1) }

func (s *Scheduler) hold(items []Held, sign int) {
	s.mu.Lock()
	for _, it := range items {
		bytes := int64(sign) * int64(it.Size)
		s.held.count += sign
		s.held.bytes += bytes
		s.origins.add(it.Origin, sign, bytes)
	}
	again := s.freed()
	s.mu.Unlock()
	again.tell()
}

func (s *Scheduler) bound() room {
	return room{max(s.opts.MaxCount, s.opts.Workers), s.opts.MaxBytes}
}

// load is what counts against the bounds. The mutex is held, as in the
// methods below.
func (s *Scheduler) load() room {
	return room{s.count + s.held.count, s.bytes + s.held.bytes}
}

// eased reports whether w has what it waits for.
func (s *Scheduler) eased(w wish) bool {
	most, now := w.most, s.load()
	if now.count > most.count-max(1, most.count/8) {
		return false
	}
	return now.count <= 0 || now.bytes+max(w.size, most.bytes/8) <= most.bytes
}

// freed takes those off the list who have room now. The caller tells them
// without the mutex.
func (s *Scheduler) freed() (again wishes) {
	if len(s.awaited) == 0 || !slices.ContainsFunc(s.awaited, s.eased) {
		return nil
	}
	var left []wish
	for _, w := range s.awaited {
		if s.eased(w) {
			again = append(again, w)
		} else {
			left = append(left, w)
		}
	}
	s.awaited = left
	return again
}

// wishes are those that came true.
type wishes []wish

func (t wishes) tell() {
	for _, w := range t {
		w.f()
	}
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
