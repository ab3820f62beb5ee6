package wire

// Property identifiers of MQTT 5 (section 2.2.2.2).
const (
	propPayloadFormat       = 0x01
	propMessageExpiry       = 0x02
	propContentType         = 0x03
	propResponseTopic       = 0x08
	propCorrelationData     = 0x09
	propSubscriptionID      = 0x0B
	propSessionExpiry       = 0x11
	propAssignedClientID    = 0x12
	propServerKeepAlive     = 0x13
	propAuthMethod          = 0x15
	propAuthData            = 0x16
	propRequestProblemInfo  = 0x17
	propWillDelay           = 0x18
	propRequestResponseInfo = 0x19
	propResponseInfo        = 0x1A
	propServerReference     = 0x1C
	propReasonString        = 0x1F
	propReceiveMaximum      = 0x21
	propTopicAliasMaximum   = 0x22
	propTopicAlias          = 0x23
	propMaximumQoS          = 0x24
	propRetainAvailable     = 0x25
	propUser                = 0x26
	propMaximumPacketSize   = 0x27
	propWildcardAvailable   = 0x28
	propSubIDAvailable      = 0x29
	propSharedAvailable     = 0x2A
	propCount               = 0x2B
)

const sectionProperties = "section 2.2.2.2"

// property is one decoded property: the number of a numeric one, a view of a
// string or binary one, or the key (in data) and value of a user property.
type property struct {
	id    byte
	num   uint32
	data  []byte
	value []byte
}

// kind is the data type of a property.
type kind byte

const (
	kindUnknown kind = iota
	kindByte
	kindUint16
	kindUint32
	kindLength
	kindText
	kindBinary
	kindPair
)

func kindOf(id byte) kind {
	switch id {
	case propPayloadFormat, propRequestProblemInfo, propRequestResponseInfo, propMaximumQoS,
		propRetainAvailable, propWildcardAvailable, propSubIDAvailable, propSharedAvailable:
		return kindByte
	case propServerKeepAlive, propReceiveMaximum, propTopicAliasMaximum, propTopicAlias:
		return kindUint16
	case propMessageExpiry, propSessionExpiry, propWillDelay, propMaximumPacketSize:
		return kindUint32
	case propSubscriptionID:
		return kindLength
	case propContentType, propResponseTopic, propAssignedClientID, propAuthMethod,
		propResponseInfo, propServerReference, propReasonString:
		return kindText
	case propCorrelationData, propAuthData:
		return kindBinary
	case propUser:
		return kindPair
	default:
		return kindUnknown
	}
}

// allowed reports whether a packet of type t may carry the property.
func allowed(t Type, id byte) bool {
	switch t {
	case TypePublish:
		return id <= propSubscriptionID || id == propTopicAlias || id == propUser
	case TypePuback, TypePubrec, TypePubrel, TypePubcomp, TypeSuback, TypeUnsuback:
		return id == propReasonString || id == propUser
	case TypeSubscribe:
		return id == propSubscriptionID || id == propUser
	case TypeUnsubscribe:
		return id == propUser
	case TypeDisconnect:
		return id == propSessionExpiry || id == propServerReference || id == propReasonString || id == propUser
	case TypeAuth:
		return id == propAuthMethod || id == propAuthData || id == propReasonString || id == propUser
	case TypeConnack:
		return allowedInConnack(id)
	default:
		return false
	}
}

func allowedInConnack(id byte) bool {
	switch id {
	case propRequestProblemInfo, propWillDelay, propRequestResponseInfo, propTopicAlias:
		return false
	default:
		return id >= propSessionExpiry && id < propCount
	}
}

// rawProperty reads the next property without checking it.
func (c *cursor) rawProperty() (p property, ok bool) {
	if p.id, ok = c.byte(); !ok {
		return p, false
	}
	switch kindOf(p.id) {
	case kindByte:
		var b byte
		b, ok = c.byte()
		p.num = uint32(b)
	case kindUint16:
		var n uint16
		n, ok = c.uint16()
		p.num = uint32(n)
	case kindUint32:
		p.num, ok = c.uint32()
	case kindLength:
		var n int
		n, ok = c.length()
		p.num = uint32(n)
	case kindText, kindBinary:
		p.data, ok = c.field()
	case kindPair:
		if p.data, ok = c.field(); ok {
			p.value, ok = c.field()
		}
	default:
		ok = false
	}
	return p, ok
}

// property reads the next property of a packet of type t. It rejects an
// unknown, misplaced or repeated property and ill-formed text. seen has a bit
// for each identifier read so far.
func (c *cursor) property(t Type, seen *uint64) (property, error) {
	p, err := c.anyProperty(t, seen)
	if err != nil {
		return p, err
	}
	return p, checkPropertyText(t, p)
}

// anyProperty is like property but accepts ill-formed text.
func (c *cursor) anyProperty(t Type, seen *uint64) (property, error) {
	id := (*c)[0]
	if kindOf(id) == kindUnknown {
		return property{}, malformed(t, sectionProperties, "unknown property identifier")
	}
	if !allowed(t, id) {
		return property{}, malformed(t, sectionProperties, "property is not allowed in this packet")
	}
	repeatable := id == propUser || id == propSubscriptionID && t == TypePublish
	if *seen&(1<<id) != 0 && !repeatable {
		return property{}, malformed(t, sectionProperties, "property is included more than once")
	}
	*seen |= 1 << id
	p, ok := c.rawProperty()
	if !ok {
		return p, truncated(t, "property")
	}
	return p, nil
}

func checkPropertyText(t Type, p property) error {
	switch kindOf(p.id) {
	case kindText:
		return checkText(t, "property", p.data)
	case kindPair:
		if err := checkText(t, "user property name", p.data); err != nil {
			return err
		}
		return checkText(t, "user property value", p.value)
	default:
		return nil
	}
}

// properties takes the property section: the property length and that many
// bytes.
func (c *cursor) properties(t Type) (cursor, error) {
	n, ok := c.length()
	if !ok {
		return nil, malformed(t, "MQTT-1.5.5-1", "property length is not a variable byte integer")
	}
	b, ok := c.take(n)
	if !ok {
		return nil, truncated(t, "property length")
	}
	return b, nil
}
