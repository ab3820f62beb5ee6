package broker

import (
	"encoding/binary"
	"fmt"
)

// Packet is one MQTT control packet of any version, not interpreted further
// than the methods below do. They never panic on a body that is not well
// formed; they return zero values.
type Packet struct {
	// First is the first byte: type and flags.
	First byte
	// Body is everything after the remaining length.
	Body []byte
}

// Type is the packet's type.
func (p Packet) Type() PacketType { return PacketType(p.First >> 4) }

// QoS of a PUBLISH.
func (p Packet) QoS() byte { return p.First >> 1 & 3 }

// Dup reports whether a PUBLISH carries the DUP flag.
func (p Packet) Dup() bool { return p.First&8 != 0 }

// Retain reports whether a PUBLISH carries the RETAIN flag.
func (p Packet) Retain() bool { return p.First&1 != 0 }

// Topic of a PUBLISH, empty where an alias stands for it.
func (p Packet) Topic() string {
	topic, _ := p.splitPublish()
	return string(topic)
}

// ID is the packet identifier, 0 for a packet that has none.
func (p Packet) ID() uint16 {
	b := p.Body
	switch p.Type() {
	case Publish:
		if p.QoS() == 0 {
			return 0
		}
		_, b = p.splitPublish()
	case Puback, Pubrec, Pubrel, Pubcomp, Subscribe, Suback, Unsubscribe, Unsuback:
	default:
		return 0
	}
	if len(b) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(b)
}

// Payload is what follows the topic and the identifier of an MQTT 3.1.1
// PUBLISH. On MQTT 5 the properties come first in it;
// [Observed.Message] leaves
// them out.
func (p Packet) Payload() []byte {
	_, rest := p.splitPublish()
	if p.QoS() == 0 {
		return rest
	}
	return rest[min(2, len(rest)):]
}

func (p Packet) splitPublish() (topic, rest []byte) {
	if p.Type() != Publish || len(p.Body) < 2 {
		return nil, nil
	}
	n := 2 + int(binary.BigEndian.Uint16(p.Body))
	if n > len(p.Body) {
		return nil, nil
	}
	return p.Body[2:n], p.Body[n:]
}

// String describes the packet for a test's log.
func (p Packet) String() string {
	if p.Type() == Publish {
		return fmt.Sprintf("PUBLISH id %d qos %d dup %t topic %q, %d bytes", p.ID(), p.QoS(), p.Dup(), p.Topic(), len(p.Body))
	}
	return fmt.Sprintf("%v id %d, %d bytes", p.Type(), p.ID(), len(p.Body))
}

// Encode returns the bytes on the wire.
func (p Packet) Encode() []byte {
	b := binary.AppendUvarint([]byte{p.First}, uint64(len(p.Body)))
	return append(b, p.Body...)
}

// Observed is a packet as the broker received it or is about to send it.
type Observed struct {
	Packet
	Direction Direction
	// ClientID of the session; on CONNECT the one that the client asks for.
	ClientID string
	// Version is 4 for MQTT 3.1.1, 5 for MQTT 5.
	Version byte
	// Connection counts the connections to the broker from 1.
	Connection int
	// Fault is the kind of fault that hits the packet, empty for none.
	Fault string
}

// Message is the payload of a PUBLISH without the properties of MQTT 5.
func (o Observed) Message() []byte {
	payload := o.Payload()
	if o.Version != 5 {
		return payload
	}
	c := cursor{b: payload}
	c.bytes(int(c.varint()))
	return c.b
}

// Filters are the topic filters of a SUBSCRIBE or UNSUBSCRIBE, the topic of a
// PUBLISH (none where an alias stands for it), none for other packets.
func (o Observed) Filters() []string {
	switch o.Type() {
	case Publish:
		if topic := o.Topic(); topic != "" {
			return []string{topic}
		}
	case Subscribe:
		if s, err := decodeSubscribe(o.Body, o.Version); err == nil {
			filters := make([]string, len(s.requests))
			for i, r := range s.requests {
				filters[i] = r.filter
			}
			return filters
		}
	case Unsubscribe:
		if u, err := decodeUnsubscribe(o.Body, o.Version); err == nil {
			return u.filters
		}
	}
	return nil
}
