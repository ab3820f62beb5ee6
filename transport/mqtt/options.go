package mqtt

import (
	"context"
	"crypto/tls"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bridge"
)

// ServerOption is an option of [NewServer].
type ServerOption func(s *Server)

// WithBrokerOptions adds options of kratos-transport's broker package and of
// broker/mqtt.
func WithBrokerOptions(opts ...broker.Option) ServerOption {
	return func(s *Server) { s.options = append(s.options, opts...) }
}

func set(change func(*bridge.Settings)) ServerOption {
	return WithBrokerOptions(bridge.Option(change))
}

// Connection takes addresses, client id, credentials, TLS and times from a
// service's configuration. What is unset there keeps what options before it
// said, and options after it win. nil is an error of Start.
func Connection(c *v1.Connection) ServerOption { return WithBrokerOptions(bridge.Connection(c)) }

// Subscriber takes concurrency, queue, retry and dead-letter topic from a
// service's configuration; what is unset keeps the defaults, and what is wrong
// is reported by its key. A key of its subscriptions is a topic filter or an
// operation; Start warns of one that matches nothing.
func Subscriber(c *v1.Subscriber) ServerOption {
	return set(func(s *bridge.Settings) { s.Subscriber(c) })
}

// Logger sets the logger. Default: the Kratos global logger.
func Logger(l log.Logger) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.Logger = l })
}

// Name names the service, in dead letters too.
func Name(service string) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.Service = service })
}

// FailFast makes Start an error when the first attempt to connect fails.
// Default: false, a broker that is down is tried again in the background.
func FailFast(enable bool) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.FailFast = enable })
}

// Middleware adds Kratos middleware around every handler; given again it adds
// more, after those before.
func Middleware(m ...middleware.Middleware) ServerOption {
	return func(s *Server) { s.change(func(all *matcher) { all.use(m...) }) }
}

// WithAddress sets the broker URLs, tried in order: mqtt, tcp, mqtts, ssl,
// tls, ws or wss. Required here or in the configuration.
func WithAddress(addrs []string) ServerOption {
	return WithBrokerOptions(broker.WithAddress(addrs...))
}

// WithTLSConfig sets the TLS configuration for mqtts, ssl, tls and wss
// addresses; plain addresses are an error then.
func WithTLSConfig(c *tls.Config) ServerOption {
	return WithBrokerOptions(broker.WithTLSConfig(c))
}

// WithCleanSession asks the broker to forget everything between connections.
// Default: true without a client id, false with one.
func WithCleanSession(enable bool) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.CleanSession = &enable })
}

// WithAuth sets user name and password, over those in an address. Neither is
// ever logged.
func WithAuth(username string, password string) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.Username, s.Config.Password = username, password })
}

// WithStrict refuses what is otherwise a warning at the start: a password, another login
// or an Authorization header that goes to a broker or a proxy in clear text, unless that
// is this machine, and a certificate that is not verified. Each is then an error of
// Start. Default: false.
func WithStrict(enable bool) ServerOption {
	return set(func(s *bridge.Settings) { s.Strict = enable })
}

// WithCredentials asks for user name and password before each CONNECT, so that
// a token that was renewed counts from the next connection on. It counts over
// [WithAuth] and over those in an address. ask runs on a goroutine of the
// connection, also for the publisher's, within the connect timeout, which ends
// ctx; its error is told as that of the attempt, and must not hold a secret.
// Default: nil, the fixed ones.
func WithCredentials(ask func(ctx context.Context) (username, password string, err error)) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.Credentials = ask })
}

// WithClientId sets the client id of the subscriber; the publisher adds
// "-srv-pub". Each running process needs its own, and within one it subscribes
// once at an address: a second session is TAKEN_OVER. Default: a random one, and
// messages published while the process is down are not kept.
//
//nolint:revive // the name is kratos-transport's
func WithClientId(clientId string) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.ClientID = clientId })
}

// WithCodec names the codec of messages: "json" (the default) or "proto", or
// any other in the Kratos registry. An unknown one is an error of
// RegisterSubscriber, Publish and Start. With "" there is none: only bytes and
// strings can be sent and received, as they are.
func WithCodec(c string) ServerOption {
	return WithBrokerOptions(broker.WithCodec(c), bridge.Option(func(s *bridge.Settings) { s.Codec = c }))
}

// WithTracerProvider makes a span of each publish and each attempt of a handler
// with this provider. kratos-transport's tracing, which makes them, also sets
// it as OpenTelemetry's global provider. Default: no spans.
func WithTracerProvider(p trace.TracerProvider) ServerOption {
	return WithBrokerOptions(broker.WithTracerProvider(p))
}

// WithPropagator sets the propagator of trace context, which travels in user
// properties (MQTT 5) or in the attributes of a CloudEvent. Bare messages on MQTT
// 3.1.1 have no place for it: there each side begins a trace of its own. The span of
// a handler is linked to the publish, and is its child, with the sender's baggage,
// where the sender is trusted, see [WithSubscribeTrustSender]. Default, and with nil:
// W3C trace context and baggage.
func WithPropagator(p propagation.TextMapPropagator) ServerOption {
	return set(func(s *bridge.Settings) {
		if s.Propagator = nil; p != nil {
			s.Propagator = func() propagation.TextMapPropagator { return p }
		}
	})
}

// WithGlobalTracerProvider makes a span of each publish and each attempt of a
// handler with OpenTelemetry's global provider, also one that is set later.
func WithGlobalTracerProvider() ServerOption {
	return set(func(s *bridge.Settings) { s.Trace = true })
}

// WithGlobalPropagator uses OpenTelemetry's global propagator, see
// [WithPropagator].
func WithGlobalPropagator() ServerOption {
	return set(func(s *bridge.Settings) { s.Propagator = otel.GetTextMapPropagator })
}

// WithAllowedMetadata names the Kratos metadata that is taken over from senders that
// are not trusted, see [WithSubscribeTrustSender]: whole names, or what they begin
// with and a *, as in "x-md-global-region" and "x-md-local-*". Any sender may then
// set it, and what begins with x-md-global- goes along with what the handler
// publishes. A name that does not begin with x-md- is an error of Start: Kratos'
// metadata middleware takes other headers only by an option of its own, from anybody.
// What is refused is counted as MetadataRefused of the health; the handler finds it
// in the headers of the message. Default: none.
func WithAllowedMetadata(names ...string) ServerOption {
	return set(func(s *bridge.Settings) { s.AllowedMetadata = names })
}

// WithEnableKeepAlive has no effect: the server opens no port of its own only
// to have an endpoint. The log says so once.
func WithEnableKeepAlive(bool) ServerOption {
	return WithBrokerOptions(bridge.Ignore("WithEnableKeepAlive"))
}

// WithOnConnect calls cb after each accepted connection, on a goroutine that it
// shares with the callback of [WithOnDisconnect]: one that hangs delays nothing
// else. It must not call Stop, which waits for it. A panic is logged. nil calls
// nothing.
func WithOnConnect(cb func()) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.OnConnect = cb })
}

// WithOnDisconnect calls cb with an *event.Error after each lost connection, on
// the goroutine of [WithOnConnect], and must not call Stop either. A Stop of our own is no loss. A panic is logged. nil calls nothing.
func WithOnDisconnect(cb func(error)) ServerOption {
	return set(func(s *bridge.Settings) { s.OnDisconnect = cb })
}

// WithCloudEvents sends every message, replies too, as a CloudEvent in
// structured JSON (application/cloudevents+json), on both versions of MQTT: the
// one form in which MQTT 3.1.1 has headers. source is the event's, a URI
// reference; an empty one is an error of Start. The event's id is the message's
// or a UUIDv7, its type the full name of the protobuf message or "bytes", its
// subject the topic, and headers are extension attributes: a name of other than
// lower-case letters and digits is an error of the publish. Data that is JSON
// stays readable, other data is base64.
//
// Structured events that arrive are unwrapped: on MQTT 5 by their content type,
// also without this option; where there is none, as on 3.1.1, only with it:
// a JSON object with a specversion is an event, and what is none a bare
// message. A broken event is a dead letter. Default: bare messages.
func WithCloudEvents(source string) ServerOption {
	return set(func(s *bridge.Settings) { s.CloudEvents = &source })
}

// WithHooks adds hooks, each of which implements one or more of the hook
// interfaces of package event; a value that implements none is an error of
// Start. Given again it adds more. Package event says
// what a hook that hangs delays, if anything. Default: none, and no cost.
func WithHooks(hooks ...any) ServerOption {
	return set(func(s *bridge.Settings) { s.Hooks = append(s.Hooks, hooks...) })
}

// WithSelfTest sends a message to each of these topics after the start, on the
// publishing connection, and waits for it on a third one, whose client id adds
// "-test" to the publisher's. What does not come back within 3 s is told by the
// log and by SelfTestError of the health. It is meant for MQTT 3.1.1, where a
// broker acknowledges a publish that its access rules forbid, and throws it away:
// name a topic that the same rules are about, that may be read, too, and that
// nobody minds a message on, whose payload is a UUID. Default: none.
func WithSelfTest(topics ...string) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.SelfTest = topics })
}

// WithRelaxedAcks acknowledges each message when it is done instead of in the
// order of arrival, so that a slow one does not hold up those behind it. For
// brokers that accept any order on MQTT 3.1.1; on MQTT 5 the order is kept
// [MQTT-4.6.0-2]. Default: false.
func WithRelaxedAcks(enable bool) ServerOption {
	return set(func(s *bridge.Settings) { s.Config.RelaxedAcks = enable })
}
