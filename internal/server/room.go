package server

import (
	"sync/atomic"

	"github.com/go-kratos/kratos/v2/errors"
)

const (
	// allRoom bounds the memory, in bytes, of the bodies and answers of all requests, by
	// HTTP and gRPC together.
	allRoom = 128 << 20
	// ownRoom is what each request may take in addition, so that small requests succeed
	// while large ones use up allRoom: a report of 20 KiB, a command of 1 KiB.
	ownRoom = 64 << 10
)

// reasonBusy is the reason for a request that is refused for lack of memory.
const reasonBusy = "BUSY"

// Room is the memory budget for the requests of a process, by HTTP and gRPC. Safe for
// concurrent use.
type Room struct {
	left  atomic.Int64
	reads chan struct{} // a slot for each request that reads
}

// NewRoom returns the room of a process.
func NewRoom() *Room {
	r := &Room{reads: make(chan struct{}, maxReads)}
	r.left.Store(allRoom)
	return r
}

// share returns an empty share.
func (r *Room) share() *share { return &share{room: r} }

// share is what one request takes from a room. Not safe for concurrent use.
type share struct {
	room  *Room
	taken int64
}

// take takes n more bytes. If there is not enough room, it takes nothing and returns a
// Kratos 503.
func (s *share) take(n int) error {
	more := max(0, s.taken+int64(n)-ownRoom) - max(0, s.taken-ownRoom)
	if s.room.left.Add(-more) < 0 && more > 0 {
		s.room.left.Add(more)
		return errors.ServiceUnavailable(reasonBusy, "too many large requests at the same time; try again later")
	}
	s.taken += int64(n)
	return nil
}

// giveBack returns everything that was taken.
func (s *share) giveBack() {
	s.room.left.Add(max(0, s.taken-ownRoom))
	s.taken = 0
}
