package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// serverBroker hides the methods that would connect or disconnect without the server.
type serverBroker struct {
	broker.Broker
	server *Server
}

// Subscribe is [Server.Subscribe].
func (b *serverBroker) Subscribe(topic string, handler broker.Handler, binder broker.Binder, opts ...broker.SubscribeOption) (broker.Subscriber, error) {
	return b.server.Subscribe(topic, handler, binder, opts...)
}

// Init is an error.
func (b *serverBroker) Init(...broker.Option) error { return notHere("init") }

// Connect is an error.
func (b *serverBroker) Connect() error { return notHere("connect") }

// Disconnect is an error.
func (b *serverBroker) Disconnect() error { return notHere("disconnect") }

func notHere(op string) error {
	return &event.Error{Op: op, Reason: event.ReasonBadRequest, Cause: errServed}
}
