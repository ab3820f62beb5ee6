package mqtt

import (
	"context"
	"net/url"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/transport"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

var (
	_ transport.Server     = (*Server)(nil)
	_ transport.Endpointer = (*Server)(nil)
)

// Server is a Kratos server whose requests are MQTT messages. All methods are safe for
// concurrent use.
//
// It publishes and subscribes, but does not implement broker.Broker: Start and Stop, which
// Kratos calls, connect and disconnect. [Server.Broker] is for code that needs the
// interface.
//
// A message is acknowledged after every handler that matches its topic returned nil. If a
// handler returns an error or panics, it is called again with backoff within 5 s. Then
// broker/mqtt's WithSubscribeExhausted decides; by default the message becomes a dead
// letter and is acknowledged once that is stored. If no retry helps, it becomes a dead
// letter at once. Messages of one topic are handled in order, different topics in parallel,
// by default at most 16 messages at a time.
//
// Headers, which are user properties on MQTT 5 or the attributes of a CloudEvent, are
// passed to the handler and are in the Transport, where Kratos' metadata middleware finds
// them. The content type selects the codec if it names a registered one.
type Server struct {
	broker  *mqttbroker.Broker
	client  func() (*client.Client, error) // of the broker; the error is of the options
	options []broker.Option

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
		Client:  func() (*client.Client, error) { return s.client() },
		Service: func(ctx context.Context) string { return client.ApplicationName(kratos.FromContext(ctx)) },
		Start:   func(ctx context.Context) error { return s.broker.Start(ctx) },
		Stop:    func(ctx context.Context) error { return s.broker.Stop(ctx) },
		Subscribe: func(h *operation.Handler, filter string, binder func() any, set func(*option.Subscription)) error {
			_, err := s.subscribe(filter, h, binder, []broker.SubscribeOption{subscribing(set)})
			return err
		},
		Begin: begin, Attempt: attemptOf,
	})
	set(func(settings *client.Settings) {
		settings.Config.PublisherSuffix, settings.Config.Role = publisherSuffix, "the server layer"
		settings.Bind = func(of func() (*client.Client, error)) { s.client = of }
	})(s)
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	s.broker = mqttbroker.NewBroker(s.options...)
	return s
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

// Broker returns the server as kratos-transport's interface, for code that requires it. It
// publishes and subscribes as the server does. Init, Connect and Disconnect return errors,
// because only the server may change its connection.
func (s *Server) Broker() broker.Broker { return &serverBroker{s.broker, s} }

// Endpoint returns the URL of the first broker, without user information; the server opens
// no port of its own. It works before Start, when Kratos calls it, and reports every
// problem of the options. Without an error the URL is never nil.
func (s *Server) Endpoint() (*url.URL, error) {
	c, err := s.client()
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
// Contexts of handlers, middleware and error handlers have the values of ctx, as with
// Kratos' own servers: kratos.FromContext and those of kratos.Context. They do not end with
// ctx: an attempt ends at its deadline, or when the time of Stop is over.
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
func (s *Server) WaitReady(ctx context.Context) error {
	return s.broker.WaitReady(ctx)
}

// Publish sends a message on the server's publishing connection. A handler may call it
// without a risk of deadlock. For the meaning of nil and of errors see broker/mqtt's
// Broker.Publish.
func (s *Server) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	return s.broker.Publish(ctx, topic, msg, opts...)
}

// Request sends a request at QoS 1 and waits for the reply within ctx, or the timeout
// option, or 10 s. Replies arrive on inbox/<client id>/<random UUID>, unless
// broker.WithReplyTopic sets another topic, over a connection of their own, <client
// id>-srv-req. It is opened when first needed, and the broker does not keep its session.
// Handlers may send any number of requests at a time: a waiting handler delays no reply.
// The body of the reply is its bytes; broker/mqtt's function Request decodes it.
//
// An error of the replier is a Kratos error with its code and reason. TIMEOUT and CLOSED
// have MayHaveBeenSent set: the request may have been carried out. MQTT 5 has response
// topic and correlation data; on 3.1.1 both sides need broker/mqtt's WithCloudEvents, or
// the reason is UNSUPPORTED. At most 2048 requests wait at a time, and those for one topic
// use at most half of the places that are free; beyond that the reason is QUOTA_EXCEEDED.
// At most 64 reply topics are subscribed to: a topic without waiting requests is
// unsubscribed when another is needed, and if there is none, the request waits.
func (s *Server) Request(ctx context.Context, topic string, msg *broker.Message, opts ...broker.RequestOption) (*broker.Message, error) {
	return s.broker.Request(ctx, topic, msg, opts...)
}

// Health returns a snapshot for readiness probes and metrics. It never waits.
func (s *Server) Health() event.Health {
	h := s.broker.Health()
	h.TopicMismatches = s.operations.Mismatches()
	return h
}

// Filters returns the topic filters of all subscriptions, with the QoS that was asked for and the
// one that the broker granted. Before Start there are none. It never waits.
func (s *Server) Filters() []event.FilterHealth { return s.broker.Filters() }
