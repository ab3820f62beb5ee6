package broker

import (
	"bytes"
	"encoding/binary"
	"strings"
	"time"
)

// message is a published message. It is not changed after it was routed.
type message struct {
	topic   string
	payload []byte
	props   []byte    // those of MQTT 5 that pass through unchanged
	expires time.Time // zero: never
	expiry  uint32    // seconds, as published
	qos     byte
	retain  bool
	from    string // client id of the publisher, for No Local
	node    int    // of the publisher

	// number is its number in the journal, generation that of the file that contains it,
	// and tallied the number of the last measurement that counted it.
	number              uint64
	generation, tallied uint32
}

// size returns the size of a message for limits in bytes.
func (m *message) size() int { return len(m.topic) + len(m.props) + len(m.payload) }

const publishProperties = propertySet(1<<propPayloadFormat | 1<<propMessageExpiry | 1<<propContentType | 1<<propResponseTopic | 1<<propCorrelationData | 1<<propTopicAlias | 1<<propUserProperty)

// publish is a decoded PUBLISH. Its slices point into the packet.
type publish struct {
	topic   []byte
	payload []byte
	props   []byte // section without its length
	id      uint16
	qos     byte
	dup     bool
	retain  bool
	alias   int // 0: none
	special bool
}

func decodePublish(p Packet, version byte) (m publish, err error) {
	m.qos, m.dup, m.retain = p.QoS(), p.Dup(), p.Retain()
	if m.qos == 3 || (m.qos == 0 && m.dup) { // [MQTT-3.3.1-4], [MQTT-3.3.1-2]
		return m, malformed("flags %#x of PUBLISH", p.First&15)
	}
	c := cursor{b: p.Body}
	m.topic = c.text()
	if m.qos > 0 {
		if m.id = c.uint16(); m.id == 0 && c.err == nil {
			return m, breach("packet identifier 0") // [MQTT-2.2.1-3]
		}
	}
	if version == 5 {
		before := c.b
		m.decodeProperties(&c)
		m.props = before[:len(before)-len(c.b)]
	}
	if c.err != nil {
		return m, c.err
	}
	m.payload = c.b
	if bytes.ContainsAny(m.topic, "+#") || (len(m.topic) == 0 && m.alias == 0) {
		return m, &violation{reasonTopicName, "topic name"} // [MQTT-3.3.2-2], [MQTT-4.7.3-1]
	}
	return m, nil
}

func (m *publish) decodeProperties(c *cursor) {
	if len(c.b) > 0 && c.b[0] == 0 {
		c.b = c.b[1:]
		return
	}
	c.properties(publishProperties, func(p property) {
		switch p.id {
		case propTopicAlias:
			if m.alias = int(p.num); m.alias == 0 && c.err == nil {
				c.err = &violation{reasonAlias, "topic alias 0"} // [MQTT-3.3.2-8]
			}
			m.special = true
		case propMessageExpiry:
			m.special = true
		case propResponseTopic:
			c.checkResponseTopic(p.data)
		}
	})
}

func (c *cursor) checkResponseTopic(topic []byte) {
	if bytes.ContainsAny(topic, "+#") && c.err == nil {
		c.err = breach("wildcard in a response topic") // [MQTT-3.3.2-14]
	}
}

// message returns a copy of the message; topic is the resolved topic.
func (m *publish) message(topic, from string) *message {
	out := &message{topic: topic, qos: m.qos, retain: m.retain, from: from}
	props := m.props
	if !m.special && len(props) > 0 {
		c := cursor{b: props}
		c.varint()
		props = c.b
	}
	if m.special {
		c := cursor{b: props}
		c.properties(publishProperties, out.keep)
		props = nil
	}
	both := make([]byte, len(props)+len(m.payload))
	n := copy(both, props)
	copy(both[n:], m.payload)
	if !m.special {
		out.props = both[:n:n]
	}
	out.payload = both[n:]
	return out
}

// keep adopts a property of a PUBLISH or a will.
func (m *message) keep(p property) {
	switch p.id {
	case propTopicAlias:
	case propMessageExpiry:
		m.expiry = p.num
		m.expires = time.Now().Add(time.Duration(p.num) * time.Second)
	default:
		m.props = append(m.props, p.raw...)
	}
}

func (m *message) expired() bool { return !m.expires.IsZero() && !time.Now().Before(m.expires) }

// publishSize returns the length of the body and of its property section.
func publishSize(version byte, m *message, d *delivery) (body, props int) {
	body = 2 + len(m.topic) + len(m.payload)
	if d.qos > 0 {
		body += 2
	}
	if version != 5 {
		return body, 0
	}
	props = len(m.props)
	for _, id := range d.ids {
		props += 1 + varintSize(id)
	}
	if !m.expires.IsZero() {
		props += 5
	}
	return body + varintSize(uint32(props)) + props, props
}

// appendPublish encodes a PUBLISH to a client.
func appendPublish(b []byte, version byte, m *message, d *delivery, dup bool) []byte {
	first := byte(Publish)<<4 | d.qos<<1
	if dup {
		first |= 8
	}
	if d.retain {
		first |= 1
	}
	size, props := publishSize(version, m, d)
	b = binary.AppendUvarint(append(b, first), uint64(size))
	b = appendText(b, m.topic)
	if d.qos > 0 {
		b = binary.BigEndian.AppendUint16(b, d.id)
	}
	if version == 5 {
		b = binary.AppendUvarint(b, uint64(props))
		b = append(b, m.props...)
		for _, id := range d.ids {
			b = binary.AppendUvarint(append(b, propSubscriptionID), uint64(id))
		}
		if !m.expires.IsZero() {
			b = binary.BigEndian.AppendUint32(append(b, propMessageExpiry), m.remaining())
		}
	}
	return append(b, m.payload...)
}

// remaining returns the expiry minus the time that the message waited [MQTT-3.3.2-6].
func (m *message) remaining() uint32 {
	left := time.Until(m.expires)
	return min(m.expiry, uint32(max(0, (left+time.Second-1)/time.Second)))
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func varintSize(n uint32) int {
	switch {
	case n < 1<<7:
		return 1
	case n < 1<<14:
		return 2
	case n < 1<<21:
		return 3
	}
	return 4
}

func clone(b []byte) []byte { return append([]byte{}, b...) }

// validTopic reports whether s is a valid topic name.
func validTopic(s string) bool { return s != "" && !strings.ContainsAny(s, "+#") }
