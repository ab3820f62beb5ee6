package mqtt

import (
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Broker returns the server as kratos-transport's interface, for code that takes
// one. It publishes and subscribes as the server does; Init, Connect and
// Disconnect are errors, because the server's connection is not theirs to
// change.
func (s *Server) Broker() broker.Broker { return &serverBroker{s.broker, s} }

// serverBroker hides what would act behind the server's back.
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
