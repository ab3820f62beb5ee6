package broker

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// MQTT 5 reason codes that the broker sends.
const (
	reasonNoSubscribers   = 0x10
	reasonNoSubscription  = 0x11
	reasonUnspecified     = 0x80
	reasonMalformed       = 0x81
	reasonProtocol        = 0x82
	reasonVersion         = 0x84
	reasonClientID        = 0x85
	reasonCredentials     = 0x86
	reasonNotAuthorized   = 0x87
	reasonShuttingDown    = 0x8B
	reasonAuthMethod      = 0x8C
	reasonKeepAlive       = 0x8D
	reasonTakenOver       = 0x8E
	reasonFilter          = 0x8F
	reasonTopicName       = 0x90
	reasonIDNotFound      = 0x92
	reasonReceiveMaximum  = 0x93
	reasonAlias           = 0x94
	reasonPacketTooLarge  = 0x95
	reasonQuota           = 0x97
	reasonQoSNotSupported = 0x9B
)

// violation is a protocol error of a client; the connection ends.
type violation struct {
	code byte // of MQTT 5
	what string
}

func (v *violation) Error() string { return fmt.Sprintf("0x%02X %s", v.code, v.what) }

func malformed(format string, args ...any) *violation {
	return &violation{reasonMalformed, fmt.Sprintf(format, args...)}
}

func breach(format string, args ...any) *violation {
	return &violation{reasonProtocol, fmt.Sprintf(format, args...)}
}

// cursor reads fields from the front of a packet. After the first error it returns zero
// values.
type cursor struct {
	b   []byte
	err *violation
}

func (c *cursor) failf(format string, args ...any) {
	if c.err == nil {
		c.err = malformed(format, args...)
	}
	c.b = nil
}

func (c *cursor) bytes(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.failf("%d bytes of %d", n, len(c.b))
		return nil
	}
	taken := c.b[:n:n]
	c.b = c.b[n:]
	return taken
}

func (c *cursor) byte() byte {
	if b := c.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

func (c *cursor) uint16() uint16 {
	if b := c.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (c *cursor) uint32() uint32 {
	if b := c.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// varint reads a Variable Byte Integer of minimal length [MQTT-1.5.5-1].
func (c *cursor) varint() (n uint32) {
	for shift := 0; shift < 28; shift += 7 {
		b := c.byte()
		n |= uint32(b&0x7F) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 {
				c.failf("variable byte integer longer than needed")
			}
			return n
		}
	}
	c.failf("variable byte integer of more than four bytes")
	return 0
}

// binary reads binary data: a length, then as many bytes.
func (c *cursor) binary() []byte { return c.bytes(int(c.uint16())) }

// text reads and validates a UTF-8 string [MQTT-1.5.4-1], [MQTT-1.5.4-2].
func (c *cursor) text() []byte {
	b := c.binary()
	for _, x := range b {
		if x == 0 || x >= utf8.RuneSelf {
			return c.checkText(b)
		}
	}
	return b
}

func (c *cursor) checkText(b []byte) []byte {
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 {
		c.failf("string is not UTF-8 without NUL")
		return nil
	}
	return b
}

// end checks that nothing is left.
func (c *cursor) end() error {
	if c.err == nil && len(c.b) > 0 {
		c.failf("%d bytes too many", len(c.b))
	}
	return c.failed()
}

// failed returns the error as an interface that is nil if there is none.
func (c *cursor) failed() error {
	if c.err != nil {
		return c.err
	}
	return nil
}
