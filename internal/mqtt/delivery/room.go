package delivery

import "slices"

// room is a number of items and their total size in bytes.
type room struct {
	count int
	bytes int64
}

func (r room) half() room { return room{max(1, r.count/2), r.bytes / 2} }

// wish is a caller that waits for room for a number of bytes within certain
// limits.
type wish struct {
	most room
	size int64
	f    func()
}

// Held is an item that is kept outside the scheduler.
type Held struct {
	Origin uint64 // see [Item.Origin]
	Size   int    // in bytes
}

// Room returns how many items, and how many bytes in total, may be submitted
// until the limits are reached; with twice the limits are doubled. Negative
// values are the excess. empty reports that there are no items at all, so that
// one item may exceed the limit. There is always room for as many items as
// there are workers.
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

// AwaitRoom calls f once there is room for an item of the given size in bytes
// plus an eighth of the limit, so that the caller can then continue for a
// while. It calls f immediately or on a worker's goroutine, once for each call
// of AwaitRoom, and never if the scheduler is stopped first. f must not block.
func (s *Scheduler) AwaitRoom(size int, f func()) { s.awaitRoom((*Scheduler).bound, size, f) }

// AwaitHalf is like AwaitRoom for room within half of the limits, where shares
// do not apply.
func (s *Scheduler) AwaitHalf(size int, f func()) { s.awaitRoom((*Scheduler).half, size, f) }

func (s *Scheduler) awaitRoom(within func(*Scheduler) room, size int, f func()) {
	s.mu.Lock()
	w := wish{within(s), int64(size), f}
	now := s.eased(w)
	if !now && !s.stopped {
		s.awaited = append(s.awaited, w)
	}
	s.mu.Unlock()
	if now {
		w.f()
	}
}

// Hold counts items that are kept elsewhere against the limits, until Release.
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

// bound returns the limits. The mutex must be held, as for the methods below.
func (s *Scheduler) bound() room {
	return room{max(s.opts.MaxCount, s.opts.Workers), s.opts.MaxBytes}
}

// load returns what counts against the limits.
func (s *Scheduler) load() room {
	return room{s.count + s.held.count, s.bytes + s.held.bytes}
}

// eased reports whether there is room for w.
func (s *Scheduler) eased(w wish) bool {
	most, now := w.most, s.load()
	if now.count > most.count-max(1, most.count/8) {
		return false
	}
	return now.count <= 0 || now.bytes+max(w.size, most.bytes/8) <= most.bytes
}

// freed removes and returns the waiters that have room now. The caller must
// call them without the mutex.
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

// wishes are waiters that have room now.
type wishes []wish

func (t wishes) tell() {
	for _, w := range t {
		w.f()
	}
}

// half returns half of the limits, below which shares do not apply. It has room
// for at least as many items as there are workers, so that no share applies
// while one is idle. The mutex must be held.
func (s *Scheduler) half() room {
	half := s.bound().half()
	half.count = max(half.count, s.opts.Workers)
	return half
}

// Shared returns the part of the limits to which shares apply.
func (s *Scheduler) Shared() (count int, bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most, half := s.bound(), s.half()
	return most.count - half.count, most.bytes - half.bytes
}

// Over reports whether another item of an origin, with the given size in bytes,
// would exceed its share. Once half of the limits is used up and all workers
// have an item, an origin may have an eighth of the limits, and always one
// item.
func (s *Scheduler) Over(origin uint64, size int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	most, half := s.bound(), s.half()
	if now := s.load(); now.count < half.count && now.bytes+int64(size) <= half.bytes {
		return false
	}
	has := s.origins.of(origin)
	return has.count > 0 && (has.count >= most.count/8 || has.bytes+int64(size) > most.bytes/8)
}
