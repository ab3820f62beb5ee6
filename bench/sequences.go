package main

import (
	"encoding/binary"
	"sync/atomic"
)

// sequences checks the numbers that the null broker puts into payloads, one sequence per
// topic.
type sequences struct {
	last     []atomic.Uint64
	reorders atomic.Int64
}

func newSequences(topics int) *sequences { return &sequences{last: make([]atomic.Uint64, topics)} }

func (s *sequences) saw(payload []byte) {
	sequence, topic := binary.BigEndian.Uint64(payload), binary.BigEndian.Uint32(payload[8:])
	if s.last[topic].Swap(sequence) >= sequence {
		s.reorders.Add(1)
	}
}

// result returns the number of reorders, and the share of sent messages that were not
// handled.
func (s *sequences) result(handled int64) (reorders int64, lost float64) {
	sent := uint64(0)
	for i := range s.last {
		sent += s.last[i].Load()
	}
	if sent > 0 {
		lost = max(0, 1-float64(handled)/float64(sent))
	}
	return s.reorders.Load(), lost
}
