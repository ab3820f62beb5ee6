package event

// Incoming is a message as it arrived, before anything is decoded. It must
// neither be kept nor changed.
type Incoming interface {
	// Topic is the name that the message was published on.
	Topic() string
	// Payload is the message's data as it is on the wire.
	Payload() []byte
	// Header is the last user property of that name, MQTT 5; "" without one.
	// Names are compared as they are.
	Header(name string) string
}
