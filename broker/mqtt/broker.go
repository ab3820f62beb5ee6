package mqtt

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Broker is a service's link to its MQTT broker, and kratos-transport's
// broker.Broker: what takes that takes a *Broker. All methods are safe for
// concurrent use, and the errors they return are an *event.Error, which kratos
// errors.FromError understands.
type Broker struct {
	link *bridge.Broker
	now  atomic.Pointer[front] // nil until first needed

	mu      sync.RWMutex
	options broker.Options
}

var _ broker.Broker = (*Broker)(nil)

// front is what the options of kratos-transport were resolved to. It does not change;
// Init replaces it.
type front struct {
	broker  *Broker
	link    *bridge.Broker
	options broker.Options
	publish broker.PublishHandler // with the middleware around it
	tracer  tracer
}

// NewBroker returns a broker that connects with Connect, or Start, and then keeps
// its connection until Disconnect, or Stop. It never returns nil; problems of the
// options are reported together by Init, Connect, and whatever is called first.
func NewBroker(opts ...broker.Option) *Broker {
	b := &Broker{options: broker.NewOptions()}
	b.link = bridge.New(func(s *bridge.Settings) {
		s.Config.Logger, s.Config.NewDelivery = newLog(nil), newDelivery
		s.Codecs, s.Metadata = codecNamed, metadataOf
		s.Publish = func(ctx context.Context, m *envelope.Message) error { return b.now.Load().publishReady(ctx, m) }
		s.Resolved = func() error { return b.resolve(s) }
		b.apply(s, opts)
	})
	return b
}

// apply applies options on top of what there is. Afterwards the generic ones hold no
// user information: it is in the settings only.
func (b *Broker) apply(s *bridge.Settings, opts []broker.Option) {
	o := b.Options() // a copy, without the lock: an option may read the broker
	read(&carrier[bridge.Settings]{settings: s}, &o, &o.Context, opts)
	o.Addrs = s.TakeAddresses(o.Addrs)
	s.TLS, s.Secure, s.DefaultCodec = o.TLSConfig, o.Secure, nil
	if o.Codec != nil {
		s.DefaultCodec = o.Codec
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.options = o
}

// resolve resolves what is not the client's.
func (b *Broker) resolve(s *bridge.Settings) (err error) {
	f := &front{broker: b, link: b.link, options: b.Options()}
	f.publish, err = client.Wrap(f.send, f.options.PublishMiddlewares)
	f.tracer = newTracer(s.Trace, f.options.Tracings, s.Propagator)
	b.now.Store(f)
	return errors.Join(err, f.tracer.check())
}

// front returns what the options were resolved to, or why they cannot work.
func (b *Broker) front() (*front, error) {
	if err := b.link.Problem(); err != nil {
		return nil, err
	}
	return b.now.Load(), nil
}

// codecNamed is Kratos' registry of codecs.
func codecNamed(name string) envelope.Codec {
	if c := encoding.GetCodec(name); c != nil {
		return c
	}
	return nil
}

// Link is what is behind the broker, for the server layer of this module: its type
// is internal, and it is not for use elsewhere.
func (b *Broker) Link() *bridge.Broker { return b.link }

// Name is "mqtt".
func (b *Broker) Name() string { return kind }

// String is Name and Address.
func (b *Broker) String() string { return b.Name() + " broker at " + b.Address() }

// Options returns the generic options. There is no user information in the
// addresses.
func (b *Broker) Options() broker.Options {
	b.mu.RLock()
	defer b.mu.RUnlock()
	o := b.options
	o.Addrs = slices.Clone(o.Addrs)
	return o
}

// Address joins the broker URLs, without user information.
func (b *Broker) Address() string { return strings.Join(b.Options().Addrs, ",") }

// Init applies more options on top of those there are, and reports every problem
// of them all. It is an error while connected. Subscriptions stay.
func (b *Broker) Init(opts ...broker.Option) error {
	if len(opts) == 0 {
		return b.link.Init(nil)
	}
	return b.link.Init(func(s *bridge.Settings) { b.apply(s, opts) })
}

// Connect is Start without a bound: the first attempt ends after the connect
// timeout. Handlers find the values of broker.WithOptionContext in their context.
func (b *Broker) Connect() error {
	ctx := b.Options().Context
	if ctx == nil {
		ctx = context.Background()
	}
	return b.Start(context.WithoutCancel(ctx))
}

// Start connects and subscribes, and keeps the connection until Stop. A broker
// that is down is tried again in the background and no error, unless fail-fast is
// set; settings that cannot work, a refused login and a refused filter are errors.
// While connected it does nothing. ctx bounds the first attempt, and handlers find
// its values in their context; its end after that ends nothing.
func (b *Broker) Start(ctx context.Context) error { return b.link.Start(ctx) }

// Disconnect is Stop within 10 s.
func (b *Broker) Disconnect() error { return b.Stop(context.Background()) }

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
