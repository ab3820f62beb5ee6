package server

import (
	"sync/atomic"

	"github.com/go-kratos/kratos/v2/errors"
)

const (
	// allRoom is the memory, in bytes, that the bodies and answers of all requests
	// may take together, by HTTP and gRPC.
	allRoom = 128 << 20
	// ownRoom is what each request may take besides, so that small ones get through
	// while large ones fill the rest: a report of 20 KiB, a command of 1 KiB.
	ownRoom = 64 << 10
)

// reasonBusy is of a request that there is no memory for at present.
const reasonBusy = "BUSY"

// Room is the memory for the requests of a process, whichever way they come in.
// Safe for concurrent use.
type Room struct {
	left  atomic.Int64
	reads chan struct{} // full when no more may read
}

// NewRoom returns the room of a process.
func NewRoom() *Room {
	r := &Room{reads: make(chan struct{}, maxReads)}
	r.left.Store(allRoom)
	return r
}

// share returns a share of nothing as yet.
func (r *Room) share() *share { return &share{room: r} }

// share is what one request takes of a room. Not for concurrent use.
type share struct {
	room  *Room
	taken int64
}

// take takes n more bytes. Where there is no room for them it takes nothing, and
// returns a Kratos 503.
func (s *share) take(n int) error {
	more := max(0, s.taken+int64(n)-ownRoom) - max(0, s.taken-ownRoom)
	if s.room.left.Add(-more) < 0 && more > 0 {
		s.room.left.Add(more)
		return errors.ServiceUnavailable(reasonBusy, "too many large requests at a time; try again later")
	}
	s.taken += int64(n)
	return nil
}

// giveBack returns all that was taken.
func (s *share) giveBack() {
	s.room.left.Add(max(0, s.taken-ownRoom))
	s.taken = 0
}
