package mqtt

import (
	"context"
	"net/url"

	"github.com/go-kratos/kratos/v3"
	"github.com/go-kratos/kratos/v3/middleware"
	"github.com/go-kratos/kratos/v3/transport"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
)

var (
	_ transport.Server       = (*Server)(nil)
	_ transport.Endpointer   = (*Server)(nil)
	_ event.ServiceRegistrar = (*Server)(nil)
	_ event.Subscriptions    = (*Server)(nil)
)

// Server is a Kratos server whose requests are MQTT messages. All methods are safe for
// concurrent use.
//
// A message is acknowledged after every handler that matches its topic returned nil. If a
// handler returns an error or panics, it is called again with backoff within 5 s. Then
// broker/mqtt's WithSubscribeExhausted decides; by default the message becomes a dead
// letter and is acknowledged once that is stored. If no retry helps, it becomes a dead
// letter at once. Messages of one topic are handled in order, different topics in parallel,
// by default at most 16 messages at a time.
type Server struct {
	broker     *mqttbroker.Broker
	of         client.Resolver // of the broker; the error is of the options
	options    []mqttbroker.Option
	operations operation.Registry
}

// publisherSuffix makes the client id of the server's publishing connection different from
// that of a data layer with the same client id, which would otherwise take it over.
const publisherSuffix = "-srv-pub"

// NewServer never fails: problems of the options are reported together by
// RegisterSubscriber and Start.
func NewServer(opts ...ServerOption) *Server {
	s := new(Server)
	s.operations.Init(operation.Front{
		Client:  func() (*client.Client, error) { return s.of() },
		Service: func(ctx context.Context) string { return client.ApplicationName(kratos.FromContext(ctx)) },
		Start:   s.start, Stop: s.stop,
		Subscribe: func(h *operation.Handler, filter string, binder func() any, set func(*option.Subscription)) error {
			_, err := s.subscribe(filter, h, binder, []mqttbroker.SubscribeOption{set})
			return err
		},
		Begin: begin, Attempt: attemptOf,
	})
	set(func(settings *client.Settings) {
		settings.Config.PublisherSuffix, settings.Config.Role = publisherSuffix, "the server layer"
		settings.Bind = func(of func() (*client.Client, error)) { s.of = of }
	})(s)
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	s.broker = mqttbroker.NewBroker(s.options...)
	return s
}

// start connects and subscribes.
func (s *Server) start(ctx context.Context) error {
	c, err := s.of()
	switch {
	case err != nil:
		return err
	case ctx == nil:
		return client.BadRequest("connect", "", "context is nil")
	}
	return c.Start(ctx)
}

// stop drains and disconnects.
func (s *Server) stop(ctx context.Context) error {
	if ctx == nil {
		return client.BadRequest("disconnect", "", "context is nil")
	}
	if c, err := s.of(); err == nil { // else nothing was ever started
		return c.Stop(ctx)
	}
	return nil
}

// Name returns "mqtt".
func (s *Server) Name() string { return KindMQTT }

// Use adds middleware for a selector: an operation, or a prefix with "*" at its end. It
// applies to every attempt that begins after Use returned.
//
// Middleware is constructed once for each handler: by Start, by a registration after Start,
// and again by a Use after Start. If it panics then or returns a nil handler, Start or the
// registration returns an error; after a Use the error is logged, and every attempt fails
// with it. No message is handled without its middleware.
func (s *Server) Use(selector string, m ...middleware.Middleware) {
	s.operations.Use(selector, plain(m)...)
}

// RegisterService subscribes the handlers of a generated service, one subscription for each
// topic filter; generated code calls it. Middleware selects, and the configuration names, a
// method by its operation, /pkg.Service/Method. What a method says of group, retry and dead
// letters is a default: an option in code, and the configuration of the operation, take
// precedence over it.
//
// It returns nothing, as with Kratos' other servers: everything that is wrong, with the options
// too, is reported by Start, all at once and each time. After Start it waits for the SUBACK,
// and what is wrong is logged as well. A message whose payload contradicts its topic is handled
// with what the topic says, and counted as TopicMismatches of the health.
func (s *Server) RegisterService(d *event.ServiceDesc, handlers []event.Handler, opts ...event.RegisterOption) {
	s.operations.RegisterService(d, handlers, opts...)
}

// Broker returns the connection of the server, for [mqttbroker.NewClientConn] and for code
// that publishes and subscribes by it. Its Start and Stop return errors, because only the
// server may change its connection; what it subscribes runs without middleware.
func (s *Server) Broker() *mqttbroker.Broker { return s.broker }

// Endpoint returns the URL of the first broker, without user information; the server opens
// no port of its own. It works before Start, when Kratos calls it, and reports every
// problem of the options. Without an error the URL is never nil.
func (s *Server) Endpoint() (*url.URL, error) {
	c, err := s.of()
	if err != nil {
		return nil, err
	}
	return url.Parse(c.Endpoint())
}

// Address returns the broker URLs, joined by commas, without user names and passwords.
func (s *Server) Address() string { return s.broker.Address() }

// Start connects and subscribes. It returns when both are done, or when the broker turned
// out to be down: then it is tried again in the background. Settings that cannot work, a
// refused login, a refused filter and problems of a RegisterService are errors. A second
// Start waits for the outcome of the first and returns the same; Start after Stop works.
//
// An application that ends at once may call Stop before Start, each on its own goroutine.
// The first Start after that returns nil and connects nothing, as on Kratos' HTTP server,
// and so does a Start that Stop interrupts, because no other Stop would follow.
//
// Contexts of handlers and middleware have the values of ctx, as with Kratos' own servers:
// kratos.FromContext and those of kratos.Context. They do not end with ctx: an attempt ends at
// its deadline, or when the time of Stop is over.
func (s *Server) Start(ctx context.Context) error { return s.operations.Start(ctx) }

// Stop drains within ctx: it ends intake, waits for handlers, sends acknowledgements and
// pending publishes, and disconnects. Messages that are left stay unacknowledged, and their
// number is logged. Afterwards no goroutine remains. A second Stop waits, within its own
// context, for the end of the first. Stop before the first Start makes that Start return at
// once.
func (s *Server) Stop(ctx context.Context) error { return s.operations.Stop(ctx) }

// Reload applies a changed configuration without a restart, as Reload of broker/mqtt does.
func (s *Server) Reload(c *v1.Settings) error { return s.broker.Reload(c) }

// WaitReady returns nil once the server is connected with every filter granted, or an error
// when ctx ends first. It also waits for Start, which Kratos calls later than its
// AfterStart hooks.
func (s *Server) WaitReady(ctx context.Context) error { return s.broker.WaitReady(ctx) }

// Publish sends a message on the server's publishing connection, as broker/mqtt's
// [mqttbroker.Broker.Publish]. A handler may call it without a risk of deadlock.
func (s *Server) Publish(ctx context.Context, topic string, body any, opts ...event.CallOption) error {
	return s.broker.Publish(ctx, topic, body, opts...)
}

// Request sends a request and decodes the reply, as [mqttbroker.Broker.Request], over a
// connection of its own, <client id>-srv-req. Handlers may send any number of requests at a
// time: a waiting handler delays no reply.
func (s *Server) Request(ctx context.Context, topic string, body, reply any, opts ...event.CallOption) error {
	return s.broker.Request(ctx, topic, body, reply, opts...)
}

// Filters returns the topic filters of all subscriptions, with the QoS that was asked for and the
// one that the broker granted. Before Start there are none. It never waits.
func (s *Server) Filters() []event.FilterHealth { return s.of.Filters() }

// Health returns a snapshot for readiness probes and metrics. It never waits.
func (s *Server) Health() event.Health {
	h := s.broker.Health()
	h.TopicMismatches = s.operations.Mismatches()
	return h
}
