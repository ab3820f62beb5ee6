package broker

import (
	"encoding/binary"
	"fmt"
)

// Packet is an MQTT control packet of any version. Its methods interpret only what they
// return. They never panic on a malformed body, but return zero values.
type Packet struct {
	// First is the first byte: type and flags.
	First byte
	// Body is everything after the remaining length.
	Body []byte
}

// Type returns the type of the packet.
func (p Packet) Type() PacketType { return PacketType(p.First >> 4) }

// QoS returns the QoS of a PUBLISH.
func (p Packet) QoS() byte { return p.First >> 1 & 3 }

// Dup reports whether a PUBLISH has the DUP flag.
func (p Packet) Dup() bool { return p.First&8 != 0 }

// Retain reports whether a PUBLISH has the RETAIN flag.
func (p Packet) Retain() bool { return p.First&1 != 0 }

// Topic returns the topic of a PUBLISH; it is empty if an alias is used.
func (p Packet) Topic() string {
	topic, _ := p.splitPublish()
	return string(topic)
}

// ID returns the packet identifier, or 0 if the packet has none.
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

// Payload returns what follows the topic and the identifier of a PUBLISH. On MQTT 5 this
// includes the properties; [Observed.Message] does not.
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

// String describes the packet for the log of a test.
func (p Packet) String() string {
	if p.Type() == Publish {
		return fmt.Sprintf("PUBLISH id %d qos %d dup %t topic %q, %d bytes", p.ID(), p.QoS(), p.Dup(), p.Topic(), len(p.Body))
	}
	return fmt.Sprintf("%v id %d, %d bytes", p.Type(), p.ID(), len(p.Body))
}

// Encode returns the encoded packet.
func (p Packet) Encode() []byte {
	b := binary.AppendUvarint([]byte{p.First}, uint64(len(p.Body)))
	return append(b, p.Body...)
}

// Observed is a packet that the broker received or is about to send.
type Observed struct {
	Packet
	Direction Direction
	// ClientID is that of the session; for CONNECT it is the requested one.
	ClientID string
	// Version is 4 for MQTT 3.1.1 and 5 for MQTT 5.
	Version byte
	// Connection is the number of the connection to the broker, starting at 1.
	Connection int
	// Fault is the kind of the fault that hits the packet, or "".
	Fault string
}

// Message returns the payload of a PUBLISH without MQTT 5 properties.
func (o Observed) Message() []byte {
	payload := o.Payload()
	if o.Version != 5 {
		return payload
	}
	c := cursor{b: payload}
	c.bytes(int(c.varint()))
	return c.b
}

// Filters returns the topic filters of a SUBSCRIBE or UNSUBSCRIBE, or the topic of a PUBLISH
// unless an alias is used; it returns none for other packets.
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
