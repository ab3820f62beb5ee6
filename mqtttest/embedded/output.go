package embedded

import (
	"net"
	"sync"
	"time"
)

// maxOutput is how many bytes may wait in an output before what writes has to
// wait, too.
const maxOutput = 256 << 10

// output is the writing half of a connection. Write never waits for the peer: the
// library writes under a lock that it also needs to hand a message to the client,
// so that a client that does not read would hold up all who publish. What bounds
// the memory is room, which the library passes before it takes that lock.
type output struct {
	net.Conn
	done chan struct{} // closed when the last byte was written, or cannot be

	mu      sync.Mutex
	changed sync.Cond
	bytes   []byte
	held    bool // bytes wait for flow
	closing bool
	err     error
}

func newOutput(c net.Conn) *output {
	o := &output{Conn: c, done: make(chan struct{})}
	o.changed.L = &o.mu
	return o
}

// Write implements net.Conn.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case o.err != nil:
		return 0, o.err
	case o.closing:
		return 0, net.ErrClosed
	}
	o.bytes = append(o.bytes, p...)
	o.changed.Broadcast()
	return len(p), nil
}

// room waits until there is room for more, or the connection ends.
func (o *output) room() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for len(o.bytes) > maxOutput && !o.held && !o.closing && o.err == nil {
		o.changed.Wait()
	}
}

// hold keeps what is written from now on until flow.
func (o *output) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = true
}

// flow ends hold.
func (o *output) flow() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = false
	o.changed.Broadcast()
}

// Close implements net.Conn. The peer has a moment to take what was written.
func (o *output) Close() error {
	o.mu.Lock()
	o.held, o.closing = false, true
	o.changed.Broadcast()
	o.mu.Unlock()
	_ = o.SetWriteDeadline(time.Now().Add(goodbye))
	<-o.done
	return o.Conn.Close()
}

// run writes what [output.Write] takes. It ends with Close, or when writing fails.
func (o *output) run() {
	defer close(o.done)
	var spare []byte
	for {
		b := o.take(spare)
		if len(b) == 0 {
			return
		}
		if _, err := o.Conn.Write(b); err != nil {
			o.fail(err)
			return
		}
		spare = b[:0]
	}
}

// take waits for bytes; none come after the end.
func (o *output) take(spare []byte) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	for (len(o.bytes) == 0 || o.held) && !o.closing {
		o.changed.Wait()
	}
	b := o.bytes
	o.bytes = spare
	o.changed.Broadcast()
	return b
}

// fail ends the connection, which whoever reads it sees.
func (o *output) fail(err error) {
	o.mu.Lock()
	o.err, o.bytes = err, nil
	o.changed.Broadcast()
	o.mu.Unlock()
	_ = o.Conn.Close()
}
