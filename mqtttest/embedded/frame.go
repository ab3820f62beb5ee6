package embedded

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// MQTT control packet types that a client may send.
const (
	typeConnect     = 1
	typePublish     = 3
	typePuback      = 4
	typePubrec      = 5
	typePubrel      = 6
	typePubcomp     = 7
	typeSubscribe   = 8
	typeUnsubscribe = 10
	typePingreq     = 12
	typeDisconnect  = 14
	typeAuth        = 15
)

var errMalformed = errors.New("malformed packet")

// checker follows the frames of one client and refuses those whose inner
// lengths do not add up. It judges structure only; what a well-formed packet
// may say is the broker's business.
type checker struct {
	version byte // of the CONNECT seen, 0 before
}

// first judges the first byte of a packet, before the rest of it is waited for.
func (c *checker) first(b byte) error {
	if kind := b >> 4; c.version == 0 && kind != typeConnect {
		return fmt.Errorf("%w: packet type %d before CONNECT", errMalformed, kind) // [MQTT-3.1.0-1]
	}
	return nil
}

// check returns an error that wraps errMalformed when the body of a packet
// with the given first byte is not well formed.
func (c *checker) check(first byte, body []byte) error {
	kind := first >> 4
	f := fields{rest: body}
	switch kind {
	case typeConnect:
		c.connect(&f)
	case typePublish:
		c.publish(&f, first)
	case typeSubscribe:
		c.subscribe(&f)
	case typeUnsubscribe:
		c.unsubscribe(&f)
	case typePuback, typePubrec, typePubrel, typePubcomp:
		f.skip(2)
		c.reason(&f)
	case typePingreq:
	case typeDisconnect:
		c.reason(&f)
	case typeAuth:
		if c.version < 5 {
			f.bad = true // AUTH is a reserved type before MQTT 5
		}
		c.reason(&f)
	default:
		return fmt.Errorf("%w: packet type %d from a client", errMalformed, kind)
	}
	if f.bad {
		return fmt.Errorf("%w: packet type %d of %d bytes", errMalformed, kind, len(body))
	}
	if len(f.rest) > 0 {
		return fmt.Errorf("%w: packet type %d with %d bytes too many", errMalformed, kind, len(f.rest))
	}
	return nil
}

func (c *checker) connect(f *fields) {
	if c.version != 0 {
		f.bad = true // a second CONNECT [MQTT-3.1.0-2]
		return
	}
	f.bytes()
	version := f.byte()
	flags := f.byte()
	f.skip(2)
	if version == 5 {
		f.properties()
	}
	f.bytes()
	if flags&0x04 != 0 {
		if version == 5 {
			f.properties()
		}
		f.bytes()
		f.bytes()
	}
	if flags&0x80 != 0 {
		f.bytes()
	}
	if flags&0x40 != 0 {
		f.bytes()
	}
	if c.version = version; version == 0 {
		f.bad = true
	}
}

func (c *checker) publish(f *fields, first byte) {
	f.bytes()
	if first&0x06 != 0 {
		f.skip(2)
	}
	if first&0x06 == 0x06 {
		f.bad = true // QoS 3 [MQTT-3.3.1-4]
	}
	if c.version == 5 {
		f.properties()
	}
	f.rest = nil // the payload
}

func (c *checker) subscribe(f *fields) {
	c.identified(f)
	for more := true; more && !f.bad; more = len(f.rest) > 0 {
		f.bytes()
		f.skip(1)
	}
}

func (c *checker) unsubscribe(f *fields) {
	c.identified(f)
	for more := true; more && !f.bad; more = len(f.rest) > 0 {
		f.bytes()
	}
}

// identified reads the packet identifier and, on MQTT 5, the properties.
func (c *checker) identified(f *fields) {
	f.skip(2)
	if c.version == 5 {
		f.properties()
	}
}

// reason reads the reason code and properties that MQTT 5 lets a packet end
// with; either may be left out.
func (c *checker) reason(f *fields) {
	if c.version < 5 || len(f.rest) == 0 {
		return
	}
	f.skip(1)
	if len(f.rest) > 0 {
		f.properties()
	}
}

// fields reads the fields of a packet body and remembers whether one of them
// went past the end.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) skip(n int) []byte {
	if f.bad || len(f.rest) < n {
		f.bad, f.rest = true, nil
		return nil
	}
	b := f.rest[:n]
	f.rest = f.rest[n:]
	return b
}

func (f *fields) byte() byte {
	if b := f.skip(1); b != nil {
		return b[0]
	}
	return 0
}

// bytes reads a length of two bytes and as many bytes: strings and binary data.
func (f *fields) bytes() {
	if b := f.skip(2); b != nil {
		f.skip(int(binary.BigEndian.Uint16(b)))
	}
}

func (f *fields) varint() int {
	n := 0
	for shift := 0; shift < 28; shift += 7 {
		b := f.byte()
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n
		}
	}
	f.bad = true // more than four bytes [MQTT-1.5.5-1]
	return 0
}

// properties reads an MQTT 5 property list [MQTT-2.2.2].
func (f *fields) properties() {
	list := fields{rest: f.skip(f.varint()), bad: f.bad}
	for len(list.rest) > 0 {
		list.property()
	}
	f.bad = f.bad || list.bad
}

func (f *fields) property() {
	switch f.byte() {
	case 0x01, 0x17, 0x19, 0x24, 0x25, 0x28, 0x29, 0x2A:
		f.skip(1)
	case 0x13, 0x21, 0x22, 0x23:
		f.skip(2)
	case 0x02, 0x11, 0x18, 0x27:
		f.skip(4)
	case 0x0B:
		f.varint()
	case 0x03, 0x08, 0x09, 0x12, 0x15, 0x16, 0x1A, 0x1C, 0x1F:
		f.bytes()
	case 0x26:
		f.bytes()
		f.bytes()
	default:
		f.bad, f.rest = true, nil
	}
}
