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

// OversizeReceiver is a [Receiver] that wants to know of a PUBLISH over the
// limit, instead of the end of the connection: MQTT 3.1.1 cannot tell a broker
// the limit, one that keeps a session would send the message again on each
// connection and never anything behind it, and on MQTT 5 a broker that is told
// the limit drops the message without a word to anybody.
type OversizeReceiver interface {
	// Oversize gets the PUBLISH without its payload: the topic, with QoS 1 and 2
	// the packet identifier, and on MQTT 5 the properties, or none in the place
	// of more than 64 KiB. It is called as Frame is, and may return ErrBusy, too.
	Oversize(first byte, head []byte, s Skipped) error
}

// Skipped is what a packet over the limit was.
type Skipped struct {
	Packet  int // bytes of all of it
	Payload int // bytes of its payload
	SHA256  [sha256.Size]byte
}

// maxHeadProperties is how many bytes of properties are kept of a packet over
// the limit.
const maxHeadProperties = 64 << 10

// oversize is a packet over the limit that is being skipped, or waits for the
// receiver. Only what is in front of the payload takes memory, whatever length
// the packet claims.
type oversize struct {
	Skipped // without a packet there is none
	head    []byte
	left    int // bytes still to be read
	payload int // those of them that are the payload
	hash    hash.Hash
}

// oversized reports whether a packet is a PUBLISH whose payload is to be skipped.
func (c *Conn) oversized(h wire.Header) bool {
	if h.Type() != wire.TypePublish || h.Total() <= c.opts.MaxPacketSize {
		return false
	}
	_, ok := c.recv.(OversizeReceiver)
	return ok
}

// begin reads what comes before the payload of a PUBLISH over the limit.
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

// keepProperties reads the properties and their length. What is wrong with
// them is found by whoever decodes the head.
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

// keep appends the next n bytes of the packet to its head, as far as there are.
// They are few.
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

// skip reads the rest of the packet, and forgets it. It is not done when the
// library wants an answer to its PINGREQ meanwhile: a large packet may take
// longer than the library would wait, and its bytes show that the peer lives.
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
