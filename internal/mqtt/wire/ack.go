package wire

// Ack is one of PUBACK, PUBREC, PUBREL, PUBCOMP.
type Ack struct {
	// ReasonString is the human-readable reason: a view into the body, or nil
	// if absent and always on 3.1.1.
	ReasonString []byte
	// PacketID is 1 to 65,535.
	PacketID uint16
	Type     Type
	// Reason is the reason code, 0 on 3.1.1. Every code from 0x80 on is a
	// refusal, even one that the standard does not list for the packet type.
	Reason byte
}

// Decode reads an acknowledgement from the first byte of its fixed header and
// its body. It replaces every field of a. User properties are checked and
// skipped. Do not use a after an error.
func (a *Ack) Decode(v Version, first byte, body []byte) error {
	t := Type(first >> 4)
	if t < TypePuback || t > TypePubcomp {
		return malformed(t, "section 2.1.2", "not an acknowledgement of a PUBLISH")
	}
	if err := checkFlags(first); err != nil {
		return err
	}
	*a = Ack{Type: t}
	c := cursor(body)
	var ok bool
	if a.PacketID, ok = c.uint16(); !ok {
		return truncated(t, "packet identifier")
	}
	if a.PacketID == 0 {
		return malformed(t, "MQTT-2.2.1-5", "packet identifier 0")
	}
	if len(c) == 0 {
		return nil
	}
	if v != V5 {
		return malformed(t, "section 2.1.4", "more than a packet identifier on 3.1.1")
	}
	a.Reason, _ = c.byte()
	if err := checkCode(t, a.Reason); err != nil {
		return err
	}
	if len(c) == 0 {
		return nil
	}
	return a.decodeProperties(c)
}

func (a *Ack) decodeProperties(c cursor) error {
	props, err := c.properties(a.Type)
	if err != nil {
		return err
	}
	if len(c) > 0 {
		return malformed(a.Type, "section 2.1.4", "bytes after the properties")
	}
	var seen uint64
	for len(props) > 0 {
		p, err := props.property(a.Type, &seen)
		if err != nil {
			return err
		}
		if p.id == propReasonString {
			a.ReasonString = p.data
		}
	}
	return nil
}

// AppendAck appends an acknowledgement of type t to dst and allocates only if
// dst is too small. On MQTT 5 it writes the reason unless it is 0; 3.1.1 has no
// field for it. t must be PUBACK, PUBREC, PUBREL or PUBCOMP, and id must not be
// 0; both normally come from a decoded packet.
func AppendAck(dst []byte, v Version, t Type, id uint16, reason byte) []byte {
	first := byte(t) << 4
	if t == TypePubrel {
		first |= 2 // [MQTT-3.6.1-1]
	}
	if v == V5 && reason != 0 {
		return append(dst, first, 3, byte(id>>8), byte(id), reason)
	}
	return append(dst, first, 2, byte(id>>8), byte(id))
}

// MaxAck is the size of the longest frame that [AppendAck] writes, in bytes.
const MaxAck = 5
