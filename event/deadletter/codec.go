package deadletter

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// IDHeader is the user property with the id of a dead letter, by which it is recognised on
// MQTT 5.
const IDHeader = prefix + "id"

// ErrNoLetter is returned by Decode for a message that is not a dead letter.
var ErrNoLetter = errors.New("deadletter: the message is not a dead letter")

// Encode returns the message in which a letter is published; its topic is left empty. With
// properties, for MQTT 5, it is the original message with the metadata of the letter in user
// properties whose names start with "dead-letter-". Without properties, for MQTT 3.1.1, it is
// a CloudEvent in structured JSON of the type kratosmqtt.deadletter.v1, whose data is the
// original payload. QoS is 1, and the message does not expire. [Letter.Omitted] is encoded in
// "dead-letter-omitted-size", "-sha256" and "-more", or in the attributes omittedsize,
// omittedsha256 and omittedmore.
func Encode(l *Letter, properties bool) (*message.Message, error) {
	if l == nil || l.ID == "" {
		return nil, errNoID
	}
	if properties {
		return l.properties(), nil
	}
	return l.cloudEvent()
}

// Decode decodes both formats of [Encode]. It returns [ErrNoLetter] for any other message.
func Decode(m *message.Message) (*Letter, error) {
	if m == nil {
		return nil, ErrNoLetter
	}
	l := &Letter{}
	var err error
	switch {
	case m.Header(IDHeader) != "":
		err = l.fromProperties(m)
	case mayBeEvent(m):
		err = l.fromCloudEvent(m.Payload)
	default:
		return nil, ErrNoLetter
	}
	if err != nil {
		return nil, err
	}
	if l.ID == "" || l.Topic == "" {
		return nil, fmt.Errorf("%w: no id or no topic", ErrNoLetter)
	}
	if l.State == "" {
		l.State = Dead
	}
	return l, nil
}

// mayBeEvent reports whether a message has the content type of a CloudEvent, or has none, as
// on MQTT 3.1.1, and may be a CloudEvent.
func mayBeEvent(m *message.Message) bool {
	if m.ContentType == "" {
		return message.MayBeObject(m.Payload)
	}
	return message.FormatOf(m.ContentType) == message.FormatEvent
}
