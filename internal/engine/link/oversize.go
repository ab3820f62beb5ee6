package link

import (
	"encoding/binary"

	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/wire"
)

// OversizeReceiver is a [Receiver] that wants to know of a PUBLISH over the
// limit on MQTT 3.1.1, instead of the end of the connection: that version cannot
// tell a broker the limit, and one that keeps a session would send the message
// again on each connection, and never anything behind it.
type OversizeReceiver interface {
	// Oversize gets the PUBLISH without its payload: the topic and, with QoS 1
	// and 2, the packet identifier. size is that of the whole packet. It is
	// called as Frame is.
	Oversize(first byte, head []byte, size int) error
}

// oversized says whether a packet is a PUBLISH whose payload is to be skipped.
func (c *Conn) oversized(h wire.Header) bool {
	if h.Type() != wire.TypePublish || h.Total() <= c.opts.MaxPacketSize || c.version5() {
		return false
	}
	_, ok := c.recv.(OversizeReceiver)
	return ok
}

// skip reads such a PUBLISH and keeps what comes before the payload.
func (c *Conn) skip(h wire.Header) error {
	c.batch()
	c.in.r += h.Size
	left := h.Remaining
	head, err := c.head(nil, min(2, left))
	if err != nil {
		return err
	}
	left -= len(head)
	if len(head) == 2 {
		n := int(binary.BigEndian.Uint16(head))
		if h.First&0x06 != 0 {
			n += 2
		}
		n = min(n, left)
		if head, err = c.head(head, n); err != nil {
			return err
		}
		left -= n
	}
	if err := c.discard(left); err != nil {
		return err
	}
	if c.dead.Load() {
		return nil
	}
	c.in.delivered = true
	return c.recv.(OversizeReceiver).Oversize(h.First, head, h.Total()) //nolint:forcetypeassert // see oversized
}

// head appends the next n bytes to b. They are few.
func (c *Conn) head(b []byte, n int) ([]byte, error) {
	for in := &c.in; n > 0; {
		if in.r == in.w {
			if err := c.fill(); err != nil {
				return nil, err
			}
		}
		m := min(n, in.w-in.r)
		b = append(b, in.buf[in.r:in.r+m]...)
		in.r, n = in.r+m, n-m
	}
	return b, nil
}

// discard reads n bytes and forgets them.
func (c *Conn) discard(n int) error {
	for in := &c.in; n > 0; {
		if in.r == in.w {
			if err := c.fill(); err != nil {
				return err
			}
		}
		m := min(n, in.w-in.r)
		in.r, n = in.r+m, n-m
	}
	return nil
}
