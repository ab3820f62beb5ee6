package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// NewBroker returns a broker that connects with Connect and then keeps its
// connection until Disconnect. It never returns nil; problems of the options
// are reported together by Init, Connect, and whatever is called first.
//
// Publish returns nil only when the broker has acknowledged the message (QoS 1,
// the default, and 2) or the bytes were handed to a live connection (QoS 0).
// While disconnected it waits for the connection: within the context's
// deadline, or for 10 s. Its errors are *event.Error, which kratos
// errors.FromError understands; MayHaveBeenSent tells whether publishing again
// may duplicate.
//
// Subscribe acknowledges a message after its handler returned nil. All methods
// are safe for concurrent use.
func NewBroker(opts ...broker.Option) broker.Broker {
	return bridge.New(opts...)
}
