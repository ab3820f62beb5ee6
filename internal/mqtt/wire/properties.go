package wire

import "encoding/binary"

// KeptSubscriptionIDs is the number of subscription identifiers that
// [Properties] can hold.
const KeptSubscriptionIDs = 8

// Properties are the MQTT 5 properties of a PUBLISH. Slices are views: into the
// frame after Decode, into the caller's memory for Append. The zero value has
// no properties.
type Properties struct {
	// CorrelationData is the correlation data of a request, nil if absent; it
	// may be empty.
	CorrelationData []byte
	// ResponseTopic is the response topic of a request, nil if absent. A
	// received one is untrusted: check it against an allow-list before
	// publishing to it.
	ResponseTopic []byte
	// ContentType describes the payload, nil if absent; it may be empty.
	ContentType []byte
	// User holds the user properties in wire form. Build it with [AppendUser]
	// and read it with [Properties.UserPairs]: after Decode it may contain
	// other properties, too.
	User []byte
	// UserCount and UserBytes are the number of user properties that Decode
	// found and the total size of their names and values in bytes.
	UserCount, UserBytes int
	// SubscriptionIDs are the identifiers of the matching subscriptions: the
	// first SubscriptionIDCount of them, at most [KeptSubscriptionIDs]. A
	// client never sends any [MQTT-3.3.4-6].
	SubscriptionIDs [KeptSubscriptionIDs]uint32
	// SubscriptionIDCount is the number of identifiers in the packet, which may
	// exceed [KeptSubscriptionIDs].
	SubscriptionIDCount int
	// MessageExpiry is the message expiry interval in seconds, valid only if
	// HasMessageExpiry is set, because 0 is a valid interval.
	MessageExpiry uint32
	// TopicAlias is the alias of the topic on this connection, 0 if absent.
	TopicAlias uint16
	// PayloadFormat is 1 for UTF-8 text and 0 for unspecified bytes, valid only
	// if HasPayloadFormat is set.
	PayloadFormat byte
	// HasMessageExpiry reports whether MessageExpiry is present.
	HasMessageExpiry bool
	// HasPayloadFormat reports whether PayloadFormat is present.
	HasPayloadFormat bool
}

// decode reads the properties of a PUBLISH from all, which contains nothing
// else. With anyText it does not check the characters of strings.
func (p *Properties) decode(all cursor, anyText bool) error {
	var seen uint64
	first, last := -1, 0
	for c := all; len(c) > 0; {
		at := len(all) - len(c)
		prop, err := c.anyProperty(TypePublish, &seen)
		if err == nil && !anyText {
			err = checkPropertyText(TypePublish, prop)
		}
		if err != nil {
			return err
		}
		if prop.id != propUser {
			if err := p.set(prop, anyText); err != nil {
				return err
			}
			continue
		}
		p.UserCount++
		p.UserBytes += len(prop.data) + len(prop.value)
		if first < 0 {
			first = at
		}
		last = len(all) - len(c)
	}
	if first >= 0 {
		p.User = all[first:last:last]
	}
	return nil
}

func (p *Properties) set(prop property, anyText bool) error {
	switch prop.id {
	case propPayloadFormat:
		if prop.num > 1 {
			return malformed(TypePublish, "section 3.3.2.3.2", "payload format indicator above 1")
		}
		p.PayloadFormat, p.HasPayloadFormat = byte(prop.num), true
	case propMessageExpiry:
		p.MessageExpiry, p.HasMessageExpiry = prop.num, true
	case propTopicAlias:
		if prop.num == 0 {
			return malformed(TypePublish, "MQTT-3.3.2-8", "topic alias 0")
		}
		p.TopicAlias = uint16(prop.num)
	case propContentType:
		p.ContentType = prop.data
	case propResponseTopic:
		p.ResponseTopic = prop.data
		if anyText {
			return nil
		}
		return checkTopic("response topic", prop.data, "MQTT-3.3.2-14")
	case propCorrelationData:
		p.CorrelationData = prop.data
	case propSubscriptionID:
		return p.addSubscriptionID(prop.num)
	}
	return nil
}

func (p *Properties) addSubscriptionID(id uint32) error {
	if id == 0 {
		return malformed(TypePublish, "section 3.3.2.3.8", "subscription identifier 0")
	}
	if p.SubscriptionIDCount < KeptSubscriptionIDs {
		p.SubscriptionIDs[p.SubscriptionIDCount] = id
	}
	p.SubscriptionIDCount++
	return nil
}

// check rejects properties that must not be written. It checks only the
// structure of User, because [AppendUser] has checked the text.
func (p *Properties) check() error {
	if p.HasPayloadFormat && p.PayloadFormat > 1 {
		return malformed(TypePublish, "section 3.3.2.3.2", "payload format indicator above 1")
	}
	if len(p.ContentType) > MaxString || len(p.CorrelationData) > MaxString || len(p.ResponseTopic) > MaxString {
		return malformed(TypePublish, "section 1.5.4", "property is longer than 65,535 bytes")
	}
	if err := checkText(TypePublish, "content type", p.ContentType); err != nil {
		return err
	}
	if p.ResponseTopic != nil {
		if err := checkTopic("response topic", p.ResponseTopic, "MQTT-3.3.2-14"); err != nil {
			return err
		}
	}
	if err := p.checkUser(); err != nil {
		return err
	}
	return p.checkSubscriptionIDs()
}

func (p *Properties) checkSubscriptionIDs() error {
	if p.SubscriptionIDCount < 0 || p.SubscriptionIDCount > KeptSubscriptionIDs {
		return malformed(TypePublish, "section 3.3.2.3.8", "more subscription identifiers than Properties can hold")
	}
	for _, id := range p.SubscriptionIDs[:p.SubscriptionIDCount] {
		if id == 0 || id > MaxRemaining {
			return malformed(TypePublish, "section 3.3.2.3.8", "subscription identifier out of range")
		}
	}
	return nil
}

// size returns the size of all properties in bytes, without the property
// length.
func (p *Properties) size() int {
	n := 0
	if p.HasPayloadFormat {
		n += 2
	}
	if p.HasMessageExpiry {
		n += 5
	}
	if p.TopicAlias != 0 {
		n += 3
	}
	for _, f := range [...][]byte{p.ContentType, p.ResponseTopic, p.CorrelationData} {
		if f != nil {
			n += 3 + len(f)
		}
	}
	for _, id := range p.SubscriptionIDs[:p.keptIDs()] {
		n += 1 + lengthSize(int(id))
	}
	_, user := p.UserLen()
	return n + user
}

func (p *Properties) keptIDs() int {
	return max(0, min(p.SubscriptionIDCount, KeptSubscriptionIDs))
}

// append appends all properties to dst, without the property length. User
// properties keep their order [MQTT-3.3.2-18].
func (p *Properties) append(dst []byte) []byte {
	if p.HasPayloadFormat {
		dst = append(dst, propPayloadFormat, p.PayloadFormat)
	}
	if p.HasMessageExpiry {
		dst = binary.BigEndian.AppendUint32(append(dst, propMessageExpiry), p.MessageExpiry)
	}
	if p.TopicAlias != 0 {
		dst = binary.BigEndian.AppendUint16(append(dst, propTopicAlias), p.TopicAlias)
	}
	dst = appendField(dst, propContentType, p.ContentType)
	dst = appendField(dst, propResponseTopic, p.ResponseTopic)
	dst = appendField(dst, propCorrelationData, p.CorrelationData)
	for _, id := range p.SubscriptionIDs[:p.keptIDs()] {
		dst = appendLength(append(dst, propSubscriptionID), int(id))
	}
	for key, value := range p.UserPairs() {
		dst = appendPair(dst, key, value)
	}
	return dst
}

func appendField(dst []byte, id byte, f []byte) []byte {
	if f == nil {
		return dst
	}
	return append(binary.BigEndian.AppendUint16(append(dst, id), uint16(len(f))), f...)
}

// empty reports whether there are no properties to write.
func (p *Properties) empty() bool {
	return !p.HasPayloadFormat && !p.HasMessageExpiry && p.TopicAlias == 0 && p.SubscriptionIDCount == 0 &&
		p.ContentType == nil && p.ResponseTopic == nil && p.CorrelationData == nil && len(p.User) == 0
}
