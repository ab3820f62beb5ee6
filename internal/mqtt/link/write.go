package link

import (
	"net"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// keepPartial is the largest assembly buffer in bytes that is kept for the
// next packet.
const keepPartial = 4 << 10

// Write takes packets of the library, in any pieces, and queues the complete
// ones ahead of data. It never waits for the socket: an error of the socket is
// reported by the next Read and by later Writes. DISCONNECT goes behind the
// data that is queued already, and nothing may follow it.
//
// A packet that the library should not send is refused, and nothing of it is
// sent: [*FrameError] or [*wire.MalformedError].
func (c *Conn) Write(p []byte) (int, error) {
	c.assembly.Lock()
	defer c.assembly.Unlock()
	if err := c.Err(); err != nil {
		return 0, err
	}
	data := p
	if len(c.partial) > 0 {
		c.partial = append(c.partial, p...)
		data = c.partial
	}
	defer c.Wake()
	for len(data) > 0 {
		size, err := c.take(data)
		if err != nil {
			c.partial = nil
			return 0, err
		}
		if size == 0 {
			break
		}
		data = data[size:]
	}
	c.partial = append(c.partial[:0], data...)
	if len(c.partial) == 0 && cap(c.partial) > keepPartial {
		c.partial = nil
	}
	return len(p), nil
}

// take queues the first packet in b and returns its size, 0 when it is not
// complete.
func (c *Conn) take(b []byte) (int, error) {
	if err := c.checkOutbound(b[0]); err != nil {
		return 0, err
	}
	h, ok, err := wire.ParseHeader(b)
	if err != nil || !ok {
		return 0, err
	}
	if h.Total() > controlBacklog {
		return 0, refuse(h, ErrTooLarge)
	}
	if len(b) < h.Total() {
		return 0, nil
	}
	frame := b[:h.Total()]
	if t := h.Type(); t == wire.TypeSubscribe || t == wire.TypeUnsubscribe {
		if err := c.asked.note(c.opts.Version, h, frame[h.Size:]); err != nil {
			return 0, err
		}
		c.Resume() // its answer may be worth more room
	}
	if h.Type() == wire.TypePingreq {
		c.pings.Add(1)
		defer c.Resume()
	}
	return len(frame), c.queueControl(h, frame)
}

func (c *Conn) queueControl(h wire.Header, frame []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
		return c.err
	case c.ending:
		return net.ErrClosed
	case h.Type() == wire.TypeDisconnect:
		c.ending = true // [MQTT-3.14.4-2]
		c.data.add(frame)
	case c.control.size+len(frame) > controlBacklog:
		return refuse(h, ErrBacklog)
	default:
		c.control.add(frame)
	}
	return nil
}
