// Package message has the message as the stores of package event keep it:
// bytes and what travels beside them. It imports nothing, so that every layer
// may know it.
package message

import (
	"slices"
	"strings"
	"time"
)

// Message is an application message. It is a plain value: whoever holds it
// must not change what its slices point to.
type Message struct {
	// Topic is the topic name: no wildcards, 1 to 65,535 bytes of UTF-8.
	Topic string
	// Payload is the application's data.
	Payload []byte
	// QoS is 0, 1 or 2.
	QoS byte
	// Retain asks the broker to keep the message for later subscribers.
	Retain bool
	// ContentType names the encoding of the payload; "" is not known.
	ContentType string
	// ResponseTopic is where a reply is wanted, and CorrelationData what ties
	// the reply to this message.
	ResponseTopic   string
	CorrelationData []byte
	// Expiry is how long the broker may keep the message; 0 is for ever.
	Expiry time.Duration
	// Headers came or go beside the payload, in order; a key may occur again.
	// They are the user properties of MQTT 5; MQTT 3.1.1 has no place for them.
	Headers []Header
}

// Header is one header of a [Message].
type Header struct{ Key, Value string }

// Header is the last value of a key, whatever the case of it, which is the one that
// counts where there is room for one only; "" without one.
func (m *Message) Header(key string) string {
	for _, h := range slices.Backward(m.Headers) {
		if strings.EqualFold(h.Key, key) {
			return h.Value
		}
	}
	return ""
}
