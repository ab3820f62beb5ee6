package null

import (
	"encoding/binary"
	"net"
	"strings"
	"sync"
)

// readBuffer is also the size of the largest frame that a client may send.
const readBuffer = 512 << 10

// conn is one client.
type conn struct {
	broker  *Broker
	nc      net.Conn
	version byte
	window  int // QoS 1 messages that may be unacknowledged

	out    []byte // answers to the frames of one read
	acks   int    // PUBACKs among the frames of one read
	source *source

	write sync.Mutex
}

func (c *conn) serve() {
	defer func() {
		_ = c.nc.Close()
		c.stopSource()
	}()
	buf := make([]byte, readBuffer)
	have := 0
	for {
		n, err := c.nc.Read(buf[have:])
		if err != nil {
			return
		}
		have += n
		used, ok := c.frames(buf[:have])
		if !ok || !c.answer() {
			return
		}
		have = copy(buf, buf[used:have])
	}
}

// frames handles all complete frames in b and returns their size.
func (c *conn) frames(b []byte) (used int, ok bool) {
	for {
		remaining, size := header(b[used:])
		if size < 0 || size+remaining > readBuffer {
			return used, false
		}
		end := used + size + remaining
		if size == 0 || end > len(b) {
			return used, true
		}
		if !c.frame(b[used], b[used+size:end]) {
			return used, false
		}
		used = end
	}
}

// answer writes the answers to the frames of one read.
func (c *conn) answer() bool {
	if c.acks > 0 && c.source != nil {
		c.source.acknowledged(c.acks)
	}
	c.acks = 0
	if len(c.out) == 0 {
		return true
	}
	err := c.send(c.out)
	c.out = c.out[:0]
	return err == nil
}

func (c *conn) send(b []byte) error {
	c.write.Lock()
	defer c.write.Unlock()
	_, err := c.nc.Write(b)
	return err
}

func (c *conn) frame(first byte, body []byte) bool {
	switch first >> 4 {
	case publish:
		return c.published(first, body)
	case puback:
		c.acks++
		return true
	case connect:
		return c.connected(body)
	case subscribe:
		return c.subscribed(body)
	case unsubscribe:
		return c.unsubscribed(body)
	case pingreq:
		c.out = append(c.out, 0xD0, 0)
		return true
	}
	return false // DISCONNECT, or a packet that no benchmark sends
}

func (c *conn) published(first byte, body []byte) bool {
	qos := first >> 1 & 3
	if qos == 0 {
		return true
	}
	_, rest, ok := field(body)
	if !ok || qos > 1 || len(rest) < 2 {
		return false
	}
	c.out = append(c.out, puback<<4, 2, rest[0], rest[1])
	return true
}

func (c *conn) connected(body []byte) bool {
	_, rest, ok := field(body)
	if !ok || len(rest) < 4 {
		return false
	}
	c.version, c.window = rest[0], sourceWindow
	if c.version != 5 {
		c.out = append(c.out, 0x20, 2, 0, 0)
		return true
	}
	n, props := varint(rest[4:])
	if n > len(props) {
		return false
	}
	c.window = min(c.window, receiveMaximum(props[:n]))
	c.out = append(c.out, 0x20, 6, 0, 0, 3, 0x21, 0xFF, 0xFF) // Receive Maximum 65,535
	return true
}

func (c *conn) subscribed(body []byte) bool {
	id, rest, ok := c.request(body)
	if !ok {
		return false
	}
	var codes []byte
	var filter string
	var qos byte
	for len(rest) > 0 {
		f, after, ok := field(rest)
		if !ok || len(after) == 0 {
			return false
		}
		codes = append(codes, after[0]&3)
		if strings.HasPrefix(string(f), sourcePrefix) {
			filter, qos = string(f), after[0]&3
		}
		rest = after[1:]
	}
	c.reply(0x90, id, codes)
	if filter == "" {
		return true
	}
	if !c.answer() { // SUBACK first
		return false
	}
	return c.startSource(filter, qos)
}

func (c *conn) unsubscribed(body []byte) bool {
	id, rest, ok := c.request(body)
	if !ok {
		return false
	}
	var codes []byte
	for len(rest) > 0 {
		f, after, ok := field(rest)
		if !ok {
			return false
		}
		if c.source != nil && c.source.filter == string(f) {
			c.stopSource()
		}
		codes = append(codes, 0)
		rest = after
	}
	if c.version != 5 {
		codes = nil
	}
	c.reply(0xB0, id, codes)
	return true
}

// request reads the packet identifier and skips properties.
func (c *conn) request(body []byte) (id uint16, rest []byte, ok bool) {
	if len(body) < 2 {
		return 0, nil, false
	}
	id, rest = binary.BigEndian.Uint16(body), body[2:]
	if c.version == 5 {
		n, after := varint(rest)
		if n > len(after) {
			return 0, nil, false
		}
		rest = after[n:]
	}
	return id, rest, true
}

func (c *conn) reply(first byte, id uint16, codes []byte) {
	n := 2 + len(codes)
	if c.version == 5 {
		n++
	}
	c.out = appendVarint(append(c.out, first), n)
	c.out = binary.BigEndian.AppendUint16(c.out, id)
	if c.version == 5 {
		c.out = append(c.out, 0)
	}
	c.out = append(c.out, codes...)
}

func (c *conn) startSource(filter string, qos byte) bool {
	c.stopSource()
	s, ok := newSource(c, filter, qos)
	if !ok {
		return false
	}
	c.source = s
	go s.run()
	return true
}

func (c *conn) stopSource() {
	if c.source != nil {
		c.source.stop()
		c.source = nil
	}
}
