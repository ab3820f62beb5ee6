package wire

import "encoding/binary"

// cursor is the unread part of a packet. Its methods take bytes from the front.
// If too few bytes are left they return false and take nothing.
type cursor []byte

func (c *cursor) byte() (byte, bool) {
	b := *c
	if len(b) < 1 {
		return 0, false
	}
	*c = b[1:]
	return b[0], true
}

func (c *cursor) uint16() (uint16, bool) {
	b := *c
	if len(b) < 2 {
		return 0, false
	}
	*c = b[2:]
	return binary.BigEndian.Uint16(b), true
}

func (c *cursor) uint32() (uint32, bool) {
	b := *c
	if len(b) < 4 {
		return 0, false
	}
	*c = b[4:]
	return binary.BigEndian.Uint32(b), true
}

// take returns a view of the next n bytes. Its capacity is limited so that an
// append cannot overwrite what follows. The view is never nil, not even for n =
// 0.
func (c *cursor) take(n int) ([]byte, bool) {
	b := *c
	if len(b) < n {
		return nil, false
	}
	*c = b[n:]
	return b[:n:n], true
}

// field reads a string or binary field: a two-byte length and that many bytes.
func (c *cursor) field() ([]byte, bool) {
	b := *c
	if len(b) < 2 {
		return nil, false
	}
	n := 2 + int(binary.BigEndian.Uint16(b))
	if len(b) < n {
		return nil, false
	}
	*c = b[n:]
	return b[2:n:n], true
}

// length reads a variable byte integer, which must be in its shortest form
// [MQTT-1.5.5-1].
func (c *cursor) length() (int, bool) {
	b := *c
	n := 0
	for i := 0; i < 4 && i < len(b); i++ {
		n |= int(b[i]&0x7F) << (7 * i)
		if b[i] >= 0x80 {
			continue
		}
		if i > 0 && b[i] == 0 {
			return 0, false
		}
		*c = b[i+1:]
		return n, true
	}
	return 0, false
}
