package wire

import (
	"encoding/binary"
	"slices"
)

// Flags of a PUBLISH in its first byte.
const (
	retainFlag = 0x01
	dupFlag    = 0x08
)

// Publish is an application message on the wire. After Decode, Topic, Payload
// and the slices in Props are views into the body.
type Publish struct {
	Topic   []byte
	Payload []byte
	// Props are the properties; unused on 3.1.1.
	Props Properties
	// PacketID is 1 to 65,535 with QoS 1 and 2, and 0 with QoS 0.
	PacketID uint16
	// QoS is 0, 1 or 2.
	QoS byte
	// Dup says that this may be a second copy. It says so of the packet, not
	// of the message: the first copy may never have arrived.
	Dup    bool
	Retain bool
	// TopicChecked spares Append its look at a topic that was checked by the
	// same rules already.
	TopicChecked bool
}

// Decode reads a PUBLISH whose fixed header begins with first and has body
// after it. Everything in p is replaced. It refuses QoS 3 [MQTT-3.3.1-4], DUP
// with QoS 0 [MQTT-3.3.1-2], packet identifier 0 [MQTT-2.2.1-4], a topic that
// is not valid UTF-8 or contains U+0000 [MQTT-1.5.4-1, -2] or a wildcard
// [MQTT-3.3.2-2], an empty topic without an alias, and properties that do not
// belong there. After an error p is not to be used.
func (p *Publish) Decode(v Version, first byte, body []byte) error {
	if err := p.decode(v, first, body, false); err != nil {
		return err
	}
	return p.checkTopic(v)
}

// DecodeAnyText is Decode for a packet whose text may be ill-formed, see
// [MalformedError.Text]: topic, response topic, content type and user properties
// are taken as they are, and must not be used as what they claim to be.
func (p *Publish) DecodeAnyText(v Version, first byte, body []byte) error {
	return p.decode(v, first, body, true)
}

func (p *Publish) decode(v Version, first byte, body []byte, anyText bool) error {
	if Type(first>>4) != TypePublish {
		return malformed(Type(first>>4), "section 2.1.2", "not a PUBLISH")
	}
	if err := checkPublishFlags(first & 0x0F); err != nil {
		return err
	}
	*p = Publish{Dup: first&dupFlag != 0, QoS: first >> 1 & 3, Retain: first&retainFlag != 0}
	c := cursor(body)
	var ok bool
	if p.Topic, ok = c.field(); !ok {
		return truncated(TypePublish, "topic")
	}
	if p.QoS > 0 {
		if p.PacketID, ok = c.uint16(); !ok {
			return truncated(TypePublish, "packet identifier")
		}
		if p.PacketID == 0 {
			return malformed(TypePublish, "MQTT-2.2.1-4", "packet identifier 0")
		}
	}
	if v == V5 {
		props, err := c.properties(TypePublish)
		if err != nil {
			return err
		}
		if err := p.Props.decode(props, anyText); err != nil {
			return err
		}
	}
	p.Payload = slices.Clip(c)
	return nil
}

// checkTopic allows an empty topic only beside an alias, which only MQTT 5 has.
func (p *Publish) checkTopic(v Version) error {
	if p.TopicChecked {
		return nil
	}
	if len(p.Topic) == 0 && v == V5 && p.Props.TopicAlias != 0 {
		return nil
	}
	return checkTopic("topic", p.Topic, "MQTT-3.3.2-2")
}

// Size returns the bytes of the whole frame that Append writes.
func (p *Publish) Size(v Version) int {
	_, remaining := p.sizes(v)
	return 1 + lengthSize(remaining) + remaining
}

// sizes returns the lengths of the properties and of the whole remainder.
func (p *Publish) sizes(v Version) (props, remaining int) {
	remaining = 2 + len(p.Topic) + len(p.Payload)
	if p.QoS > 0 {
		remaining += 2
	}
	if v == V5 {
		if !p.Props.empty() {
			props = p.Props.size()
		}
		remaining += lengthSize(props) + props
	}
	return props, remaining
}

// Append appends the frame to dst, and allocates only when dst is too small.
// It refuses everything Decode would refuse, a packet identifier with QoS 0
// [MQTT-2.2.1-2] and a frame above [MaxRemaining], and then returns dst as it
// was. Props is left out on 3.1.1, which has no place for it.
func (p *Publish) Append(dst []byte, v Version) ([]byte, error) {
	if err := p.check(v); err != nil {
		return dst, err
	}
	props, remaining := p.sizes(v)
	if err := checkRemaining(remaining); err != nil {
		return dst, err
	}
	dst = slices.Grow(dst, MaxHeader+remaining)
	dst = appendLength(append(dst, p.first()), remaining)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(p.Topic)))
	dst = append(dst, p.Topic...)
	if p.QoS > 0 {
		dst = binary.BigEndian.AppendUint16(dst, p.PacketID)
	}
	if v == V5 {
		dst = appendLength(dst, props)
		if props > 0 {
			dst = p.Props.append(dst)
		}
	}
	return append(dst, p.Payload...), nil
}

func checkRemaining(n int) error {
	if n > MaxRemaining {
		return malformed(TypePublish, "section 2.1.4", "remaining length above 268,435,455")
	}
	return nil
}

func (p *Publish) first() byte {
	b := byte(TypePublish)<<4 | p.QoS<<1
	if p.Dup {
		b |= dupFlag
	}
	if p.Retain {
		b |= retainFlag
	}
	return b
}

func (p *Publish) check(v Version) error {
	switch {
	case p.QoS > MaxQoS:
		return malformed(TypePublish, "MQTT-3.3.1-4", "QoS above 2")
	case p.QoS == 0 && p.Dup:
		return malformed(TypePublish, "MQTT-3.3.1-2", "DUP with QoS 0")
	case p.QoS == 0 && p.PacketID != 0:
		return malformed(TypePublish, "MQTT-2.2.1-2", "packet identifier with QoS 0")
	case p.QoS > 0 && p.PacketID == 0:
		return malformed(TypePublish, "MQTT-2.2.1-3", "packet identifier 0")
	case len(p.Topic) > MaxString:
		return malformed(TypePublish, "MQTT-4.7.3-3", "topic is longer than 65,535 bytes")
	}
	if err := p.checkTopic(v); err != nil {
		return err
	}
	if v != V5 || p.Props.empty() {
		return nil
	}
	return p.Props.check()
}
