package wire

// Header is the fixed header of a control packet.
type Header struct {
	// First is the first byte: packet type and flags.
	First byte
	// Remaining is the number of bytes after the fixed header.
	Remaining int
	// Size is the size of the fixed header itself, 2 to 5 bytes.
	Size int
}

// Type returns the type of the packet.
func (h Header) Type() Type { return Type(h.First >> 4) }

// Total returns the size of the whole frame in bytes.
func (h Header) Total() int { return h.Size + h.Remaining }

// ParseHeader reads the fixed header at the start of b. ok is false if more
// bytes are needed. The only error is a Remaining Length of more than four
// bytes [MQTT-1.5.5-1]; [Header.Validate] checks the flags. A Remaining Length
// that is not in its shortest form is accepted, because 3.1.1 allows it.
func ParseHeader(b []byte) (h Header, ok bool, err error) {
	// Nearly every fixed header is two or three bytes long.
	if len(b) < 2 {
		return Header{}, false, nil
	}
	if b[1] < 0x80 {
		return Header{First: b[0], Remaining: int(b[1]), Size: 2}, true, nil
	}
	n := 0
	for i := range 4 {
		if i+1 >= len(b) {
			return Header{}, false, nil
		}
		n |= int(b[i+1]&0x7F) << (7 * i)
		if b[i+1] < 0x80 {
			return Header{First: b[0], Remaining: n, Size: i + 2}, true, nil
		}
	}
	return Header{}, false, malformed(Type(b[0]>>4), "MQTT-1.5.5-1", "remaining length has more than four bytes")
}

// CheckShortest rejects a Remaining Length that is not in its shortest form, as
// MQTT 5 requires [MQTT-1.5.5-1].
func (h Header) CheckShortest() error {
	if h.Size == 1+lengthSize(h.Remaining) {
		return nil
	}
	return malformed(h.Type(), "MQTT-1.5.5-1", "remaining length is not in its shortest form")
}

// Validate checks everything that the fixed header alone shows: that the type
// exists, that the flags fit the type [MQTT-2.1.3-1], that the QoS is at most 2
// [MQTT-3.3.1-4], that DUP is not set with QoS 0 [MQTT-3.3.1-2], and that the
// length is at least that of the smallest packet of the type.
func (h Header) Validate() error {
	t := h.Type()
	if t == 0 {
		return malformed(0, "section 2.1.2", "packet type 0 is reserved")
	}
	if err := checkFlags(h.First); err != nil {
		return err
	}
	if h.Remaining < minRemaining(t) {
		return truncated(t, "variable header")
	}
	if (t == TypePingreq || t == TypePingresp) && h.Remaining != 0 {
		return malformed(t, "section 2.1.4", "packet must be empty")
	}
	return nil
}

func checkFlags(first byte) error {
	t, flags := Type(first>>4), first&0x0F
	switch t {
	case TypePublish:
		return checkPublishFlags(flags)
	case TypePubrel:
		return wantFlags(t, flags, 2, "MQTT-3.6.1-1")
	case TypeSubscribe:
		return wantFlags(t, flags, 2, "MQTT-3.8.1-1")
	case TypeUnsubscribe:
		return wantFlags(t, flags, 2, "MQTT-3.10.1-1")
	default:
		return wantFlags(t, flags, 0, "MQTT-2.1.3-1")
	}
}

func wantFlags(t Type, flags, want byte, rule string) error {
	if flags != want {
		return malformed(t, rule, "wrong flags in the fixed header")
	}
	return nil
}

func checkPublishFlags(flags byte) error {
	switch qos := flags >> 1 & 3; {
	case qos > MaxQoS:
		return malformed(TypePublish, "MQTT-3.3.1-4", "QoS 3")
	case qos == 0 && flags&dupFlag != 0:
		return malformed(TypePublish, "MQTT-3.3.1-2", "DUP with QoS 0")
	}
	return nil
}

func minRemaining(t Type) int {
	switch t {
	case TypeConnect:
		return 10
	case TypePingreq, TypePingresp, TypeDisconnect, TypeAuth:
		return 0
	default:
		return 2
	}
}

// lengthSize returns the size of n as a variable byte integer, in bytes.
func lengthSize(n int) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	default:
		return 4
	}
}

func appendLength(dst []byte, n int) []byte {
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
