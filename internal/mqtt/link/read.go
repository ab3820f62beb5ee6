package link

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

const (
	// growStep is how much of a large frame is allocated before its bytes
	// arrive.
	growStep = 256 << 10
	// bigFills is the number of buffer fills for which a larger buffer is kept
	// after its last use.
	bigFills = 64
	// maxEmptyReads is the number of consecutive reads without bytes or an
	// error after which the connection is ended.
	maxEmptyReads = 100
)

// inbound is the state of the reading goroutine.
type inbound struct {
	buf       []byte // the unread bytes are buf[r:w]
	r, w      int
	rest      []byte // rest of a control packet for the library
	greeted   bool   // CONNACK has been received
	delivered bool   // Frame was called since the last Batch
	ours      int    // late PINGRESPs of the broker, see pong

	big  []byte // memory of the last frame that did not fit into buf
	idle int    // fills since then

	held       []byte // a frame that the receiver had no room for
	heldHeader wire.Header
	over       oversize // the packet over the limit that is being read
}

// Read returns the broker's control packets to the library, unchanged, and
// passes all other frames to the [Receiver]. It returns only with bytes for the
// library or with an error. Every error ends the connection, including that of
// a read deadline.
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

// next reads one whole frame. A held frame comes first. Of a packet over the limit it
// reads only the part that is kept. It returns nil if the library is waiting for an
// answer. The frame is valid until the next call.
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

// whole returns the frame with header h, unless the buffer must be filled
// first.
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
		in.grow(total, c.opts.ReadBuffer)
	}
	return nil, false, nil
}

// rest reads the rest of a packet over the limit.
func (c *Conn) rest() (wire.Header, []byte, error) {
	done, err := c.skip()
	if err != nil || !done {
		return c.in.heldHeader, nil, err
	}
	return c.in.heldHeader, c.in.over.head, nil
}

// route passes a frame to the receiver or leaves it in rest for the library.
func (c *Conn) route(h wire.Header, frame []byte) error {
	in := &c.in
	if h.Type() == wire.TypeConnack {
		in.greeted = true
		c.welcomed.Store(true)
	}
	if c.dead.Load() {
		// Frames of an ended connection are ignored. Reading continues, because a peer
		// may finish writing before it reads what Close sends.
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
		if r, ok := c.recv.(AuthReceiver); ok {
			c.batch()
			return r.Auth(body)
		}
		if err := new(wire.Auth).Decode(body); err != nil {
			return err
		}
	}
	// The library may take its time to process the packet.
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

// fill reads more of a frame that fits into the buffer.
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
		in.grow(0, c.opts.ReadBuffer) // more bytes are coming
	}
	return err
}

// growth is the factor by which a read buffer grows: from 512 bytes to 2, 8 and 16 KiB,
// so that a connection that receives little stays small.
const growth = 4

// grow replaces the buffer by a larger one with room for at least need bytes and at
// most full bytes. need must not exceed full.
func (in *inbound) grow(need, full int) {
	size := min(full, max(need, growth*len(in.buf)))
	if len(in.buf) >= size {
		return
	}
	buf := make([]byte, size)
	in.w = copy(buf, in.buf[in.r:in.w])
	in.r, in.buf = 0, buf
}

// large reads the rest of a frame that does not fit into the buffer. It
// allocates as bytes arrive, so that a large length alone takes no memory. The
// memory is reused, so that many large frames that are dropped do not cause as
// much garbage.
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
				err = nil // the error will be returned again
			}
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// OversizeReceiver is a [Receiver] that handles a PUBLISH over the limit, which
// otherwise ends the connection. An MQTT 3.1.1 client cannot announce its
// limit: a broker that keeps the session would send the message again on each
// connection and never anything after it. An MQTT 5 broker drops a message over
// the announced limit silently.
type OversizeReceiver interface {
	// Oversize receives the PUBLISH without its payload: the topic, with QoS 1
	// and 2 the packet identifier, and on MQTT 5 the properties, which are
	// omitted if they exceed 64 KiB. It is called like Frame and may also
	// return ErrBusy.
	Oversize(first byte, head []byte, s Skipped) error
}

// Skipped describes the size of a packet over the limit.
type Skipped struct {
	Packet  int // size of the packet in bytes
	Payload int // size of its payload in bytes
	SHA256  [sha256.Size]byte
}

// maxHeadProperties is how many bytes of properties are kept of a packet over
// the limit.
const maxHeadProperties = 64 << 10

// oversize is a packet over the limit that is being skipped or waits for the
// receiver. Only the part before the payload takes memory, whatever length the
// packet claims.
type oversize struct {
	Skipped // Packet is 0 if there is no such packet
	head    []byte
	left    int // bytes still to be read
	payload int // bytes of payload among them
	hash    hash.Hash
}

// oversized reports whether a packet is a PUBLISH whose payload is to be
// skipped.
func (c *Conn) oversized(h wire.Header) bool {
	if h.Type() != wire.TypePublish || h.Total() <= c.opts.MaxPacketSize {
		return false
	}
	_, ok := c.recv.(OversizeReceiver)
	return ok
}

// begin reads the part of an oversized PUBLISH before its payload.
func (c *Conn) begin(h wire.Header) error {
	c.batch()
	c.in.r += h.Size
	o := &c.in.over
	*o = oversize{Skipped: Skipped{Packet: h.Total()}, left: h.Remaining, hash: sha256.New()}
	if err := c.keep(2); err != nil {
		return err
	}
	if len(o.head) == 2 {
		n := int(binary.BigEndian.Uint16(o.head))
		if h.First&0x06 != 0 {
			n += 2
		}
		if err := c.keep(n); err != nil {
			return err
		}
	}
	o.payload = o.left
	if c.version5() {
		if err := c.keepProperties(); err != nil {
			return err
		}
	}
	o.Payload = o.payload
	return nil
}

// keepProperties reads the property length and the properties. They are validated
// later, when the head is decoded.
func (c *Conn) keepProperties() error {
	o := &c.in.over
	from, n := len(o.head), 0
	for i := 0; i < 4 && o.left > 0; i++ {
		if err := c.keep(1); err != nil {
			return err
		}
		b := o.head[len(o.head)-1]
		n |= int(b&0x7F) << (7 * i)
		if b < 0x80 {
			break
		}
	}
	if n > maxHeadProperties && n <= o.left {
		o.head = append(o.head[:from], 0)
		o.payload = o.left - n
		return nil
	}
	if n <= maxHeadProperties {
		if err := c.keep(n); err != nil {
			return err
		}
	}
	o.payload = o.left
	return nil
}

// keep appends the next n bytes of the packet to its head, or all that are left
// if there are fewer. n is small.
func (c *Conn) keep(n int) error {
	in := &c.in
	o := &in.over
	for n = min(n, o.left); n > 0; {
		if in.r == in.w {
			if err := c.fill(); err != nil {
				return err
			}
		}
		m := min(n, in.w-in.r)
		o.head = append(o.head, in.buf[in.r:in.r+m]...)
		in.r, n, o.left = in.r+m, n-m, o.left-m
	}
	return nil
}

// skip reads and discards the rest of the packet. It returns done = false if
// the library is waiting for an answer to its PINGREQ: a large packet may take
// longer than the library waits, and its bytes show that the peer is alive.
func (c *Conn) skip() (done bool, err error) {
	in := &c.in
	o := &in.over
	for o.left > 0 {
		if in.r == in.w {
			if c.pong() {
				return false, nil
			}
			if err := c.fill(); err != nil {
				return false, err
			}
		}
		m := min(o.left, in.w-in.r)
		if from := max(0, o.left-o.payload); from < m {
			o.hash.Write(in.buf[in.r+from : in.r+m])
			o.payload -= m - from
		}
		in.r, o.left = in.r+m, o.left-m
	}
	o.hash.Sum(o.SHA256[:0])
	o.hash = nil
	return true, nil
}
