package mqtt

import (
	"context"
	"errors"
	"net/url"

	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/transport"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

var (
	_ transport.Server     = (*Server)(nil)
	_ transport.Endpointer = (*Server)(nil)
)

// Server is a Kratos server whose requests are MQTT messages. All methods are
// safe for concurrent use.
//
// It publishes and subscribes, but is no broker.Broker: connecting and
// disconnecting are Start and Stop, which Kratos calls. [Server.Broker] is for
// code that needs the interface.
//
// A message is acknowledged after every handler that matches its topic
// returned nil. An error, or a panic, is retried with backoff within 5 s. Then
// it becomes what broker/mqtt's WithSubscribeExhausted says, by default a dead letter,
// which it also becomes at once when no retry helps, and is acknowledged once that is
// stored. Messages of one topic are
// handled in order, different topics in parallel, at most 16 at once unless set
// otherwise.
//
// What comes beside the payload, user properties (MQTT 5) or the attributes of a
// CloudEvent, is in the handler's headers and in the Transport, where Kratos'
// metadata middleware finds it. The content type picks the codec when it names
// a registered one.
type Server struct {
	broker  *mqttbroker.Broker
	options []broker.Option

	handlers handlers
	services services
	stopped  order
}

// publisherSuffix keeps the server's publishing connection apart from that of
// a data layer with the same client id, which would take it over.
const publisherSuffix = "-srv-pub"

// NewServer never fails: problems of the options are reported together by
// RegisterSubscriber and Start.
func NewServer(opts ...ServerOption) *Server {
	s := new(Server)
	s.handlers.init(s.log)
	set(func(s *client.Settings) {
		s.Config.PublisherSuffix, s.Config.Role = publisherSuffix, "the server layer"
	})(s)
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	s.broker = mqttbroker.NewBroker(s.options...)
	return s
}

// Name is "mqtt".
func (s *Server) Name() string { return KindMQTT }

// Use adds middleware for a selector: an operation, or a prefix with "*" at
// its end. It counts for every attempt that begins after it returned.
//
// Middleware is constructed once for each handler: by Start, by a registration
// after Start, and by a Use after Start anew. One that panics then, or makes
// no handler, is an error of Start or of the registration; after a Use it is
// logged, and the error of every attempt. No message is handled without its
// middleware.
func (s *Server) Use(selector string, m ...middleware.Middleware) {
	s.handlers.change(func(all *matcher) { all.add(selector, m...) })
	s.handlers.rebuild()
}

// Broker returns the server as kratos-transport's interface, for code that takes
// one. It publishes and subscribes as the server does; Init, Connect and
// Disconnect are errors, because the server's connection is not theirs to
// change.
func (s *Server) Broker() broker.Broker { return &serverBroker{s.broker, s} }

// Endpoint is the URL of the first broker, without user information; the
// server opens no port of its own. It works before Start, when Kratos asks,
// and reports every problem of the options. The URL is never nil without an
// error.
func (s *Server) Endpoint() (*url.URL, error) {
	c, err := s.broker.Client()
	if err != nil {
		return nil, err
	}
	return url.Parse(c.Endpoint())
}

// log returns the logger; without a client there is none.
func (s *Server) log() client.Logger {
	c, err := s.broker.Client()
	if err != nil {
		return client.Silence
	}
	return c.Log()
}

// problem is why the options cannot work; nil when they can.
func (s *Server) problem() error {
	_, err := s.broker.Client()
	return err
}

// cannotReply reports that requests have no place for a response topic, as far as the
// protocol is known.
func (s *Server) cannotReply() bool {
	c, err := s.broker.Client()
	return err == nil && c.CannotReply()
}

// newReplier reports templates that are wrong, and why the options cannot work.
func (s *Server) newReplier(own client.ReplierSettings) (*client.Replier, error) {
	c, err := s.broker.Client()
	if err != nil {
		return nil, err
	}
	return c.NewReplier(own)
}

// configured is what the configuration says of one operation; nil without it.
func (s *Server) configured(operation string) *v1.Subscription {
	c, err := s.broker.Client()
	if err != nil {
		return nil
	}
	return c.Configured(operation)
}

// Address joins the broker URLs, without user information.
func (s *Server) Address() string { return s.broker.Address() }

// Start connects and subscribes, and returns when both are done or the broker
// turned out to be down: then it is tried again in the background. Settings
// that cannot work, a refused login and a refused filter are errors, and so is
// everything that was wrong with a RegisterService. A second Start waits for the
// outcome of the first, and returns the same; Start after Stop works.
//
// An application that ends at once may call Stop before Start, each on a
// goroutine of its own. The first Start after that returns nil and connects
// nothing, as on Kratos' HTTP server, and so does a Start that Stop ends: nobody
// would stop it any more.
//
// Contexts of handlers, middleware and error handlers have the values of ctx, as
// with Kratos' own servers: kratos.FromContext and what kratos.Context was given.
// They do not have its end: an attempt ends by its deadline, or when Stop has
// no more time.
func (s *Server) Start(ctx context.Context) error {
	if s.stopped.first() {
		return nil
	}
	if err := errors.Join(s.services.ready(s), s.handlers.build()); err != nil {
		return err
	}
	if err := s.broker.Start(ctx); err != nil {
		if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonClosed {
			return nil
		}
		return err
	}
	return s.services.began(ctx, s)
}

// Stop drains within ctx: intake ends, handlers finish, acknowledgements and
// publishes leave, DISCONNECT. What is left stays unacknowledged and is logged
// by count. Afterwards no goroutine remains. A second Stop waits, within its own
// context, for the end of the first. Before the first Start it makes that one
// return at once.
func (s *Server) Stop(ctx context.Context) error {
	s.stopped.early()
	return s.broker.Stop(ctx)
}

// WaitReady returns nil once the server is connected with every filter
// granted, and an error when ctx ends before. It waits for Start too, which
// Kratos calls later than its AfterStart hooks.
func (s *Server) WaitReady(ctx context.Context) error {
	return s.broker.WaitReady(ctx)
}

// Publish sends a message on the server's publishing connection: the server
// layer is full duplex, and publishing from a handler never deadlocks. For
// what nil and errors mean see broker/mqtt's
// Broker.Publish.
func (s *Server) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	return s.broker.Publish(ctx, topic, msg, opts...)
}

// Request sends a request at QoS 1 and waits for the reply: within ctx, or the
// timeout option, else for 10 s. Replies come on inbox/<client id>/<random UUID>,
// unless broker.WithReplyTopic says otherwise, over a connection of their own,
// <client id>-srv-req, which is opened when first needed and whose session the
// broker does not keep. Handlers may send requests, in any number at once: none
// holds up a reply. The body of the reply is its bytes; the function
// Request of broker/mqtt decodes it. An error of the replier is a Kratos error with its code and reason.
// TIMEOUT and CLOSED have MayHaveBeenSent set: the request may have been carried
// out. MQTT 5 has response topic and correlation data; on 3.1.1 both sides need
// broker/mqtt's WithCloudEvents, or the reason is UNSUPPORTED. At most 2048 requests wait at a
// time, and those for one topic take at most as many as they leave free; more is
// QUOTA_EXCEEDED. At most 64 topics for replies are subscribed to: those that no request waits on are given back, and a request that finds none
// waits for one.
func (s *Server) Request(ctx context.Context, topic string, msg *broker.Message, opts ...broker.RequestOption) (*broker.Message, error) {
	return s.broker.Request(ctx, topic, msg, opts...)
}

// Health is a snapshot of the server, for readiness probes and metrics.
func (s *Server) Health() event.Health {
	h := s.broker.Health()
	h.TopicMismatches = s.services.mismatches.Load()
	return h
}
