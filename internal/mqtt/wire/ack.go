package wire

// Ack is one of PUBACK, PUBREC, PUBREL, PUBCOMP.
type Ack struct {
	// ReasonString explains the reason for a person; a view into the body,
	// nil when absent and always on 3.1.1.
	ReasonString []byte
	// PacketID is 1 to 65,535.
	PacketID uint16
	Type     Type
	// Reason is 0 on 3.1.1. From 0x80 on it is a refusal, also where the
	// standard does not list the code for the type.
	Reason byte
}

// Decode reads an acknowledgement whose fixed header begins with first and
// has body after it. Everything in a is replaced. User properties are checked
// and skipped. After an error a is not to be used.
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

// AppendAck appends an acknowledgement of type t to dst and allocates only
// when dst is too small. The reason is written on MQTT 5 when it is not 0;
// 3.1.1 has no place for one. t must be PUBACK, PUBREC, PUBREL or PUBCOMP and
// id not 0: both come from a packet that was decoded.
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
