package wire

import (
	"encoding/binary"
	"slices"
)

// Flags in the first byte of a PUBLISH.
const (
	retainFlag = 0x01
	dupFlag    = 0x08
)

// Publish is an application message on the wire. After Decode, Topic, Payload
// and the slices in Props are views into the body.
type Publish struct {
	Topic   []byte
	Payload []byte
	// Props are the MQTT 5 properties, unused on 3.1.1.
	Props Properties
	// PacketID is 1 to 65,535 with QoS 1 and 2, and 0 with QoS 0.
	PacketID uint16
	// QoS is 0, 1 or 2.
	QoS byte
	// Dup reports that the packet may have been sent before. This is about the
	// packet, not the message: the first copy may have been lost.
	Dup    bool
	Retain bool
	// TopicChecked makes Append skip the check of a topic that has already
	// passed the same rules.
	TopicChecked bool
}

// Decode reads a PUBLISH from the first byte of its fixed header and its body.
// It replaces every field of p. It rejects QoS 3 [MQTT-3.3.1-4], DUP with QoS 0
// [MQTT-3.3.1-2], packet identifier 0 [MQTT-2.2.1-4], a topic that is not valid
// UTF-8 or contains U+0000 [MQTT-1.5.4-1, -2] or a wildcard [MQTT-3.3.2-2], an
// empty topic without an alias, and properties that a PUBLISH must not have. Do
// not use p after an error.
func (p *Publish) Decode(v Version, first byte, body []byte) error {
	if err := p.decode(v, first, body, false); err != nil {
		return err
	}
	return p.checkTopic(v)
}

// DecodeAnyText is like Decode but accepts ill-formed text, see
// [MalformedError.Text]: topic, response topic, content type and user
// properties are not checked and must not be relied on.
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

// checkTopic accepts an empty topic only with a topic alias, which only MQTT 5
// has.
func (p *Publish) checkTopic(v Version) error {
	if p.TopicChecked {
		return nil
	}
	if len(p.Topic) == 0 && v == V5 && p.Props.TopicAlias != 0 {
		return nil
	}
	return checkTopic("topic", p.Topic, "MQTT-3.3.2-2")
}

// Size returns the size of the whole frame that Append writes, in bytes.
func (p *Publish) Size(v Version) int {
	_, remaining := p.sizes(v)
	return 1 + lengthSize(remaining) + remaining
}

// sizes returns the property length and the Remaining Length.
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

// Append appends the frame to dst and allocates only if dst is too small. It
// rejects everything that Decode rejects, a packet identifier with QoS 0
// [MQTT-2.2.1-2] and a frame above [MaxRemaining]; it then returns dst
// unchanged. Props is ignored on 3.1.1, which has no properties.
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
