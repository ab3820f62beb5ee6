package event

// Incoming is a received message that is not decoded yet. It must not be changed, and must not
// be used after the call that it was passed to.
type Incoming interface {
	// Topic returns the topic name of the message.
	Topic() string
	// Payload returns the payload as received.
	Payload() []byte
	// Header returns the last user property with a name, MQTT 5 only, or "". Names are
	// case-sensitive.
	Header(name string) string
}
