package deadletter

import (
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// IDHeader is the user property by which a dead letter is known on MQTT 5.
const IDHeader = prefix + "id"

// ErrNoLetter is the error of Decode for a message that is none.
var ErrNoLetter = errors.New("deadletter: the message is no dead letter")

// Encode returns the letter in the form in which it is published on a topic, which
// is left empty. With properties, which is MQTT 5, it is the original message
// with what the letter knows in user properties whose names begin with
// "dead-letter-". Without, for MQTT 3.1.1, it is a CloudEvent in structured
// JSON of the type kratosmqtt.deadletter.v1, whose data is the original
// payload. QoS is 1, and the letter does not expire. What the letter does not
// have of its message is in "dead-letter-omitted-size", "-sha256" and "-more", or
// in the attributes omittedsize, omittedsha256 and omittedmore.
func Encode(l *Letter, properties bool) (*message.Message, error) {
	if l == nil || l.ID == "" {
		return nil, errNoID
	}
	if properties {
		return l.properties(), nil
	}
	return l.cloudEvent()
}

// Decode reads both forms.
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

// mayBeEvent reports whether a message is named as a CloudEvent, or has no content
// type, as on MQTT 3.1.1, and may be one.
func mayBeEvent(m *message.Message) bool {
	if m.ContentType == "" {
		return message.MayBeObject(m.Payload)
	}
	return message.FormatOf(m.ContentType) == message.FormatEvent
}
