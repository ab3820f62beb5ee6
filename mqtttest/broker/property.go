package broker

// Property identifiers of MQTT 5 [MQTT-2.2.2.2].
const (
	propPayloadFormat     = 1
	propMessageExpiry     = 2
	propContentType       = 3
	propResponseTopic     = 8
	propCorrelationData   = 9
	propSubscriptionID    = 11
	propSessionExpiry     = 17
	propAssignedClientID  = 18
	propAuthMethod        = 21
	propAuthData          = 22
	propRequestProblem    = 23
	propWillDelay         = 24
	propRequestResponse   = 25
	propServerReference   = 28
	propReasonString      = 31
	propReceiveMaximum    = 33
	propTopicAliasMaximum = 34
	propTopicAlias        = 35
	propMaximumQoS        = 36
	propRetainAvailable   = 37
	propUserProperty      = 38
	propMaximumPacketSize = 39
)

// propertySet holds property identifiers as bits.
type propertySet uint64

func setOf(ids ...byte) (s propertySet) {
	for _, id := range ids {
		s |= 1 << id
	}
	return s
}

func (s propertySet) has(id byte) bool { return id < 64 && s&(1<<id) != 0 }

// property is one property of a packet: a number, or bytes. raw is its whole encoding.
type property struct {
	id   byte
	num  uint32
	data []byte
	raw  []byte
}

// properties reads the property section of an MQTT 5 packet and calls visit for each property.
// Properties that are not in allowed are a protocol error, and so are repetitions, except of
// user properties.
func (c *cursor) properties(allowed propertySet, visit func(property)) {
	section := cursor{b: c.bytes(int(c.varint()))}
	var seen propertySet
	for len(section.b) > 0 && section.err == nil {
		p := section.property()
		if section.err != nil {
			break
		}
		if !allowed.has(p.id) {
			section.err = breach("property %d has no place here", p.id)
			break
		}
		if seen.has(p.id) && p.id != propUserProperty {
			section.err = breach("property %d twice", p.id)
			break
		}
		seen |= 1 << p.id
		if visit != nil {
			visit(p)
		}
	}
	if section.err != nil && c.err == nil {
		c.err, c.b = section.err, nil
	}
}

func (c *cursor) property() (p property) {
	before := c.b
	p.id = c.byte()
	switch p.id {
	case propPayloadFormat, propRequestProblem, propRequestResponse, propMaximumQoS, propRetainAvailable:
		p.num = uint32(c.byte())
		if p.num > 1 {
			c.err = breach("property %d is %d", p.id, p.num)
		}
	case propReceiveMaximum, propTopicAliasMaximum, propTopicAlias:
		p.num = uint32(c.uint16())
	case propMessageExpiry, propSessionExpiry, propWillDelay, propMaximumPacketSize:
		p.num = c.uint32()
	case propSubscriptionID:
		p.num = c.varint()
	case propContentType, propResponseTopic, propAssignedClientID, propAuthMethod, propServerReference, propReasonString:
		p.data = c.text()
	case propCorrelationData, propAuthData:
		p.data = c.binary()
	case propUserProperty:
		p.data = c.text()
		c.text()
	default:
		c.failf("unknown property %d", p.id)
	}
	p.raw = before[:len(before)-len(c.b)]
	return p
}
