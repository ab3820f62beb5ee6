package link

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

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
