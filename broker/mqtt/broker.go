package mqtt

import (
	"context"

	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// Broker is a service's link to its MQTT broker, and kratos-transport's
// broker.Broker: what takes that takes a *Broker. All methods are safe for
// concurrent use, and the errors they return are an *event.Error, which kratos
// errors.FromError understands.
type Broker struct{ link *bridge.Broker }

var _ broker.Broker = (*Broker)(nil)

// NewBroker returns a broker that connects with Connect, or Start, and then keeps
// its connection until Disconnect, or Stop. It never returns nil; problems of the
// options are reported together by Init, Connect, and whatever is called first.
func NewBroker(opts ...broker.Option) *Broker {
	return &Broker{bridge.New(append([]broker.Option{WithKratosLogger(nil)}, opts...)...)}
}

// Link is what is behind the broker, for the server layer of this module: its type
// is internal, and it is not for use elsewhere.
func (b *Broker) Link() *bridge.Broker { return b.link }

// Name is "mqtt".
func (b *Broker) Name() string { return b.link.Name() }

// String is Name and Address.
func (b *Broker) String() string { return b.Name() + " broker at " + b.Address() }

// Options returns the generic options. There is no user information in the
// addresses.
func (b *Broker) Options() broker.Options { return b.link.Options() }

// Address joins the broker URLs, without user information.
func (b *Broker) Address() string { return b.link.Address() }

// Init applies more options on top of those there are, and reports every problem
// of them all. It is an error while connected. Subscriptions stay.
func (b *Broker) Init(opts ...broker.Option) error { return b.link.Init(opts...) }

// Connect is Start without a bound: the first attempt ends after the connect
// timeout. Handlers find the values of broker.WithOptionContext in their context.
func (b *Broker) Connect() error { return b.link.Connect() }

// Start connects and subscribes, and keeps the connection until Stop. A broker
// that is down is tried again in the background and no error, unless fail-fast is
// set; settings that cannot work, a refused login and a refused filter are errors.
// While connected it does nothing. ctx bounds the first attempt, and handlers find
// its values in their context; its end after that ends nothing.
func (b *Broker) Start(ctx context.Context) error { return b.link.Start(ctx) }

// Disconnect is Stop within 10 s.
func (b *Broker) Disconnect() error { return b.link.Disconnect() }

// Stop drains within ctx, or for 10 s without a deadline, and says DISCONNECT:
// intake ends, handlers finish, acknowledgements and publishes leave. What is left
// stays unacknowledged, and a publish that is left fails with MayHaveBeenSent.
// Subscriptions stay registered for the next start. Before the first one, and
// again, it does nothing.
func (b *Broker) Stop(ctx context.Context) error { return b.link.Stop(ctx) }

// WaitReady returns nil once connected with every filter granted, and an error when
// ctx ends before. It waits for Start, too.
func (b *Broker) WaitReady(ctx context.Context) error { return b.link.WaitReady(ctx) }

// Health is a snapshot, for readiness probes and metrics. It never waits.
func (b *Broker) Health() event.Health { return b.link.Health() }
