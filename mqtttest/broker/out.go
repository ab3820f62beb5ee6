package broker

import (
	"sync"
	"time"
)

const (
	highWater = 4 << 20 // bytes to a client above which nothing more is read from it
	chunkMax  = 256 << 10
)

// ending is what happens to a connection after a chunk was written.
type ending byte

const (
	goOn ending = iota
	fin         // end the stream, wait for the client to do so
)

// chunk is a number of bytes that are written at once.
type chunk struct {
	b   []byte
	due time.Time // zero: at once
	end ending
	// after is the position that the journal must have reached first.
	after uint64
}

// out is the queue of bytes to be written to a client.
type out struct {
	mu     sync.Mutex
	chunks []chunk
	size   int // bytes not yet written
	idle   bool
	ended  bool // nothing may follow
	wake   chan struct{}
	full   bool
	room   chan struct{}
	spare  []byte
	ahead  []byte        // before all chunks, and without waiting for the journal
	early  chan struct{} // there is something ahead, and the writing goroutine is not idle
	// position returns the current end of the journal.
	position func() uint64
}

func (o *out) init(position func() uint64) {
	o.wake, o.room, o.early, o.position = make(chan struct{}, 1), make(chan struct{}, 1), make(chan struct{}, 1), position
}

// put appends a copy of bytes. by is how long they, and everything after them, are held back.
func (o *out) put(b []byte, by time.Duration, end ending) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended {
		return
	}
	n := len(o.chunks)
	if n == 0 || by > 0 || len(o.chunks[n-1].b) > chunkMax {
		c := chunk{b: o.spare}
		o.spare = nil
		if by > 0 {
			c.due = time.Now().Add(by)
		}
		o.chunks = append(o.chunks, c)
		n++
	}
	last := &o.chunks[n-1]
	last.b = append(last.b, b...)
	last.end = end
	last.after = o.position()
	o.size += len(b)
	o.ended = end != goOn
	if o.idle {
		o.idle = false
		o.wake <- struct{}{}
	}
}

// putAhead queues bytes that wait for nothing, not even for what was queued before.
func (o *out) putAhead(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ended || len(o.ahead) > chunkMax {
		return
	}
	o.ahead = append(o.ahead, b...)
	o.size += len(b)
	if o.idle {
		o.idle = false
		o.wake <- struct{}{}
		return
	}
	select {
	case o.early <- struct{}{}:
	default:
	}
}

// takeAhead returns what is ahead of all chunks, or nothing.
func (o *out) takeAhead() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	b := o.ahead
	o.ahead = nil
	return b
}

// waiting returns the number of bytes that are not written yet.
func (o *out) waiting() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.size
}

// take waits for a chunk. It returns false if closed is closed first.
func (o *out) take(closed <-chan struct{}) (chunk, bool) {
	for {
		o.mu.Lock()
		if len(o.ahead) > 0 {
			c := chunk{b: o.ahead}
			o.ahead = nil
			o.mu.Unlock()
			return c, true
		}
		if len(o.chunks) > 0 {
			c := o.chunks[0]
			o.chunks = o.chunks[:copy(o.chunks, o.chunks[1:])]
			o.mu.Unlock()
			return c, true
		}
		o.idle = true
		o.mu.Unlock()
		select {
		case <-o.wake:
		case <-closed:
			return chunk{}, false
		}
	}
}

// wrote returns a chunk for reuse.
func (o *out) wrote(c chunk) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.size -= len(c.b)
	if cap(c.b) <= 2*chunkMax {
		o.spare = c.b[:0]
	}
	if o.full && o.size < highWater {
		o.full = false
		o.room <- struct{}{}
	}
}

// awaitRoom waits until the client has read enough.
func (o *out) awaitRoom(closed <-chan struct{}) {
	o.mu.Lock()
	full := o.size >= highWater && !o.ended
	o.full = full
	o.mu.Unlock()
	if full {
		select {
		case <-o.room:
		case <-closed:
		}
	}
}

// last reports whether the end of the stream is queued or was written.
func (o *out) last() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.ended
}
