package link

import (
	"errors"
	"io"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const (
	// growStep is how much of a large frame is allocated before its bytes
	// arrive.
	growStep = 256 << 10
	// bigFills is how many fills of the buffer a larger one outlives its use.
	bigFills = 64
	// maxEmptyReads ends a connection that delivers neither bytes nor errors.
	maxEmptyReads = 100
)

// inbound is the state of the reading goroutine.
type inbound struct {
	buf       []byte // unread bytes are buf[r:w]
	r, w      int
	rest      []byte // of a control frame, on its way to the library
	greeted   bool   // CONNACK has passed
	delivered bool   // Frame was called since the last Batch
	ours      int    // PINGRESPs of the broker that come too late, see pong

	big  []byte // of the last frame that did not fit into buf
	idle int    // fills since then

	held       []byte // a frame that the receiver had no room for
	heldHeader wire.Header
	over       oversize // a packet over the limit, on its way
}

// Read gives the library the broker's control packets, byte for byte, and the
// [Receiver] everything else on the way. It returns only with bytes for the
// library or with an error; every error ends the connection, also that of a
// read deadline.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading <- struct{}{}
	defer func() { <-c.reading }()
	for len(c.in.rest) == 0 {
		h, frame, err := c.next()
		if err == nil && frame != nil {
			err = c.route(h, frame)
		}
		if errors.Is(err, ErrBusy) {
			c.in.heldHeader, c.in.held, err = h, frame, nil
			c.hold()
		}
		if err != nil {
			return 0, c.fail(err)
		}
	}
	n := copy(p, c.in.rest)
	c.in.rest = c.in.rest[n:]
	return n, nil
}

// next reads one whole frame: the one that waits first, of a packet over the
// limit what is kept of it, and nil when the library wants an answer meanwhile.
// It is valid until the next call.
func (c *Conn) next() (wire.Header, []byte, error) {
	in := &c.in
	if frame := in.held; frame != nil {
		in.held = nil
		return in.heldHeader, frame, nil
	}
	if in.over.left > 0 {
		return c.rest()
	}
	in.over.Packet = 0
	for {
		h, ok, err := wire.ParseHeader(c.in.buf[c.in.r:c.in.w])
		if err != nil {
			return h, nil, err
		}
		if ok {
			if frame, done, err := c.whole(h); done || err != nil {
				return h, frame, err
			}
		}
		if err := c.fill(); err != nil {
			return h, nil, err
		}
	}
}

// whole returns the frame whose header is at hand, unless the buffer has to be
// filled first.
func (c *Conn) whole(h wire.Header) (frame []byte, done bool, err error) {
	if err := c.checkInbound(h); err != nil {
		return nil, false, err
	}
	switch in, total := &c.in, h.Total(); {
	case c.oversized(h):
		in.heldHeader = h
		if err := c.begin(h); err != nil {
			return nil, false, err
		}
		_, frame, err = c.rest()
		return frame, true, err
	case in.w-in.r >= total:
		frame = in.buf[in.r : in.r+total]
		in.r += total
		return frame, true, nil
	case total > c.opts.ReadBuffer:
		frame, err = c.large(total)
		return frame, true, err
	case total > len(in.buf):
		in.grow(c.opts.ReadBuffer)
	}
	return nil, false, nil
}

// rest reads what is left of a packet over the limit.
func (c *Conn) rest() (wire.Header, []byte, error) {
	done, err := c.skip()
	if err != nil || !done {
		return c.in.heldHeader, nil, err
	}
	return c.in.heldHeader, c.in.over.head, nil
}

// route gives a frame to the receiver or leaves it in rest for the library.
func (c *Conn) route(h wire.Header, frame []byte) error {
	in := &c.in
	in.greeted = in.greeted || h.Type() == wire.TypeConnack
	if c.dead.Load() {
		// A frame of a connection given up must not count. Reading goes on,
		// for a peer that writes before it reads what Close still sends.
		return nil
	}
	if in.over.Packet > 0 {
		in.delivered = true
		return c.recv.(OversizeReceiver).Oversize(h.First, frame, in.over.Skipped) //nolint:forcetypeassert // see oversized
	}
	body := frame[h.Size:]
	if h.Type().Data() {
		in.delivered = true
		return c.recv.Frame(h.First, body)
	}
	switch h.Type() {
	case wire.TypeConnack:
		if err := c.recv.Connack(h.First, body); err != nil {
			return err
		}
	case wire.TypeSuback, wire.TypeUnsuback:
		if err := c.asked.settle(c.opts.Version, h, body); err != nil {
			return err
		}
	case wire.TypePingresp:
		if answered := c.probe.Swap(nil); answered != nil {
			(*answered)()
			return nil
		}
		if c.answered() {
			return nil
		}
	case wire.TypeDisconnect:
		var d wire.Disconnect
		if err := d.Decode(c.opts.Version, body); err != nil {
			return err
		}
	case wire.TypeAuth:
		if err := wire.CheckAuth(body); err != nil {
			return err
		}
	}
	// The library may take its time with the packet.
	c.batch()
	in.rest = frame
	return nil
}

func (c *Conn) batch() {
	if c.in.delivered {
		c.in.delivered = false
		c.recv.Batch()
	}
}

// fill reads more behind the begin of a frame that fits into the buffer.
func (c *Conn) fill() error {
	in := &c.in
	c.batch()
	if in.big != nil && in.held == nil {
		if in.idle++; in.idle > bigFills {
			in.big = nil
		}
	}
	in.w = copy(in.buf, in.buf[in.r:in.w])
	in.r = 0
	n, err := c.readSome(in.buf[in.w:])
	if in.w += n; in.w == len(in.buf) {
		in.grow(c.opts.ReadBuffer) // there is more to come
	}
	return err
}

// grow gives a buffer that began small its full size.
func (in *inbound) grow(size int) {
	if len(in.buf) >= size {
		return
	}
	buf := make([]byte, size)
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r, in.buf = 0, buf
}

// large reads the rest of a frame that does not fit into the buffer. Memory
// follows the bytes that arrive, so that a length alone takes none. It is used
// again: a flood of large frames that are dropped would be as much garbage.
func (c *Conn) large(total int) ([]byte, error) {
	in := &c.in
	c.batch()
	have := in.w - in.r
	frame := in.big[:0]
	if cap(frame) < have {
		frame = make([]byte, 0, min(total, max(growStep, have)))
	}
	frame = append(frame, in.buf[in.r:in.w]...)
	in.r, in.w = 0, 0
	for len(frame) < total {
		if len(frame) == cap(frame) {
			frame = append(make([]byte, 0, min(total, 2*cap(frame))), frame...)
		}
		n, err := c.readSome(frame[len(frame):min(total, cap(frame))])
		if err != nil {
			return nil, err
		}
		frame = frame[:len(frame)+n]
	}
	in.big, in.idle = frame, 0
	return frame, nil
}

// readSome reads at least one byte.
func (c *Conn) readSome(p []byte) (int, error) {
	for range maxEmptyReads {
		if n, err := c.nc.Read(p); n > 0 || err != nil {
			if n > 0 {
				err = nil // it will come again
			}
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}
