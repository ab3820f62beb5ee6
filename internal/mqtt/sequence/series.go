package sequence

import (
	"math"
	"slices"
	"time"
)

const (
	maxHoles = 64 // of one series
	// A number is accepted only if its distance from the first one is plausible: the
	// backlog at that time, and what can be sent since then.
	seriesBacklog = 100_000
	seriesRate    = 100_000 // messages a second, on one topic
)

// series is what arrived of one publisher on one topic.
type series struct {
	source string
	first  uint64
	began  time.Time // when that came
	last   uint64    // the highest number; 0 before the first
	holes  []hole    // below it, in order
}

// hole is a range of numbers that did not arrive.
type hole struct{ from, to uint64 }

// take notes a number and returns how many more are missing since. The first that
// is seen tells nothing of those before: we may have come later. A jump that cannot be
// says nothing of what is missing, and the series begins anew behind it.
func (s *series) take(n uint64, now time.Time) (missing int, jump bool) {
	switch before := s.last; {
	case before == 0:
		s.first, s.began, s.last = n, now, n
		return 0, false
	case n == before+1:
		s.last = n
		return 0, false
	case n > before && !s.can(n, now):
		s.first, s.began, s.last, s.holes = n, now, n, nil
		return 0, true
	case n > before:
		s.last = n
		if s.holes = append(s.holes, hole{before + 1, n - 1}); len(s.holes) > maxHoles {
			s.holes = slices.Delete(s.holes, 0, 1) // the numbers in this hole stay missing
		}
		return int(min(n-before-1, math.MaxInt32)), false
	}
	return s.late(n), false
}

// can reports whether a publisher can have come to a number by now.
func (s *series) can(n uint64, now time.Time) bool {
	seconds := uint64(max(0, now.Sub(s.began)) / time.Second)
	return n-s.first <= seriesBacklog+seriesRate*seconds
}

// late takes a number out of the hole that it was missing in; others are
// duplicates.
func (s *series) late(n uint64) int {
	for i, h := range s.holes {
		if n < h.from || n > h.to {
			continue
		}
		var left []hole
		if h.from < n {
			left = append(left, hole{h.from, n - 1})
		}
		if n < h.to {
			left = append(left, hole{n + 1, h.to})
		}
		s.holes = slices.Replace(s.holes, i, i+1, left...)
		return -1
	}
	return 0
}
