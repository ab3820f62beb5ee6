// Package message defines the message that the stores of package event keep: a payload with
// its topic and metadata. It imports no other package of this module, so every package may
// import it.
package message

import (
	"slices"
	"strings"
	"time"
)

// Message is an application message. It is a plain value; the contents of its slices must not
// be changed.
type Message struct {
	// Topic is the topic name: no wildcards, 1 to 65,535 bytes of UTF-8.
	Topic string
	// Payload is the data of the application.
	Payload []byte
	// QoS is 0, 1 or 2.
	QoS byte
	// Retain is set if the broker keeps the message for later subscribers.
	Retain bool
	// ContentType is the media type of the payload; "" means unknown.
	ContentType string
	// ResponseTopic is the topic for the reply. CorrelationData identifies this message in the
	// reply.
	ResponseTopic   string
	CorrelationData []byte
	// Expiry is how long the broker may keep the message; 0 means no limit.
	Expiry time.Duration
	// Headers are the user properties of MQTT 5, in order; a key may occur more than once.
	// MQTT 3.1.1 cannot transport them.
	Headers []Header
}

// Header is one header of a [Message].
type Header struct{ Key, Value string }

// Header returns the last value of a key, which is compared without regard to case, or "".
func (m *Message) Header(key string) string {
	for _, h := range slices.Backward(m.Headers) {
		if strings.EqualFold(h.Key, key) {
			return h.Value
		}
	}
	return ""
}
