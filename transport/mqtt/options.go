package mqtt

import (
	"crypto/tls"

	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// ServerOption is an option of [NewServer]. Of two options for the same thing the later
// one applies.
type ServerOption func(s *Server)

// WithBrokerOptions adds options of broker/mqtt, which has those for the connection,
// publishing and dead letters, and of kratos-transport's broker package. Errors that their
// documentation assigns to Init and Connect are returned by Start here.
func WithBrokerOptions(opts ...broker.Option) ServerOption {
	return func(s *Server) { s.options = append(s.options, opts...) }
}

func set(change func(*client.Settings)) ServerOption { return WithBrokerOptions(with(change)) }

// with makes an option of a change to the settings behind a broker.
func with(change func(*client.Settings)) broker.Option {
	return func(o *broker.Options) { o.Context = option.Change(o.Context, change) }
}

// subscribing makes an option of a change to one subscription.
func subscribing(change func(*option.Subscription)) broker.SubscribeOption {
	return func(o *broker.SubscribeOptions) { o.Context = option.Change(o.Context, change) }
}

// Middleware adds Kratos middleware around every handler. When the option is given again,
// its middleware is added after the earlier one.
func Middleware(m ...middleware.Middleware) ServerOption {
	return func(s *Server) { s.operations.Middleware(plain(m)...) }
}

// plain returns Kratos' middleware as that of no version of Kratos.
func plain(ms []middleware.Middleware) []operation.Middleware {
	all := make([]operation.Middleware, 0, len(ms))
	for _, m := range ms {
		if m != nil {
			all = append(all, func(next operation.Call) operation.Call { return m(next) })
		}
	}
	return all
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
	return WithBrokerOptions(mqttbroker.WithCleanSession(enable))
}

// WithAuth sets user name and password, which replace those in an address. Neither is ever
// logged.
func WithAuth(username string, password string) ServerOption {
	return WithBrokerOptions(mqttbroker.WithAuth(username, password))
}

// WithClientId sets the client id of the subscriber; the publisher adds "-srv-pub". It is a template, in which
// {service}, {hostname}, {ordinal} and {random} are replaced, each with an optional default as in
// {ordinal:0}; [mqttbroker.WithServiceName], or else OTEL_SERVICE_NAME or the Kratos application, names the
// service. The broker keeps a session for an id without {random}, which no other replica may have;
// within one process it subscribes once at an address: a second session is TAKEN_OVER. Default:
// "{service:kratos}-{random}", and messages published while the process is down are not kept.
//
//nolint:revive // the name is kratos-transport's
func WithClientId(clientId string) ServerOption {
	return WithBrokerOptions(mqttbroker.WithClientId(clientId))
}

// WithCodec sets the codec of messages by name: "json" (the default), "proto", or any
// other in the Kratos registry. An unknown name is an error of RegisterSubscriber, Publish
// and Start. "" means no codec: only bytes and strings can be sent and received, as they
// are.
func WithCodec(c string) ServerOption {
	return WithBrokerOptions(broker.WithCodec(c), with(func(s *client.Settings) { s.Codec = c }))
}

// WithTracerProvider creates a span for each publish and each attempt of a handler with
// this provider. Unlike kratos-transport's option it does not change OpenTelemetry's global
// provider. Default, and with nil: no spans.
func WithTracerProvider(p trace.TracerProvider) ServerOption {
	return set(func(s *client.Settings) {
		if s.TracerProvider = nil; p != nil {
			s.TracerProvider = func() trace.TracerProvider { return p }
		}
	})
}

// WithPropagator sets the propagator of trace context, which travels in user
// properties (MQTT 5) or in the attributes of a CloudEvent. Bare messages on MQTT
// 3.1.1 have no place for it: there each side begins a trace of its own. The span of
// a handler is linked to the publish, and is its child, with the sender's baggage,
// where the sender is trusted, see [mqttbroker.WithSubscribeTrustSender]. Default, and with nil:
// W3C trace context and baggage.
func WithPropagator(p propagation.TextMapPropagator) ServerOption {
	return set(func(s *client.Settings) {
		if s.Propagator = nil; p != nil {
			s.Propagator = func() propagation.TextMapPropagator { return p }
		}
	})
}

// WithGlobalTracerProvider creates a span for each publish and each attempt of a handler
// with OpenTelemetry's global provider, even if that is set later.
func WithGlobalTracerProvider() ServerOption {
	return set(func(s *client.Settings) { s.TracerProvider = otel.GetTracerProvider })
}

// WithGlobalPropagator uses OpenTelemetry's global propagator, see
// [WithPropagator].
func WithGlobalPropagator() ServerOption {
	return set(func(s *client.Settings) { s.Propagator = otel.GetTextMapPropagator })
}

// AllowedMetadata names the Kratos metadata that is taken over from senders that
// are not trusted, see [mqttbroker.WithSubscribeTrustSender]: whole names, or what they begin
// with and a *, as in "x-md-global-region" and "x-md-local-*". Any sender may then
// set it, and what begins with x-md-global- goes along with what the handler
// publishes. A name that does not begin with x-md- is an error of Start: Kratos'
// metadata middleware takes other headers only by an option of its own, from anybody.
// What is refused is counted as MetadataRefused of the health; the handler finds it
// in the headers of the message. Default: none.
func AllowedMetadata(names ...string) ServerOption {
	return set(func(s *client.Settings) { s.AllowedMetadata = names })
}

// WithEnableKeepAlive has no effect, because the server opens no port of its own for an
// endpoint. This is logged once.
func WithEnableKeepAlive(bool) ServerOption {
	return set(func(s *client.Settings) { s.Ignore("WithEnableKeepAlive") })
}

// WithOnConnect calls cb after each accepted connection, on a goroutine that it shares
// with the callback of [WithOnDisconnect]: a callback that hangs delays nothing else. It
// must not call Stop, which waits for it. A panic is logged. A nil cb is ignored.
func WithOnConnect(cb func()) ServerOption {
	return WithBrokerOptions(mqttbroker.WithOnConnect(cb))
}

// WithOnDisconnect calls cb with an *event.Error after each lost connection, on the
// goroutine of [WithOnConnect]. It must not call Stop either. A disconnect by Stop does
// not count as a loss. A panic is logged. A nil cb is ignored.
func WithOnDisconnect(cb func(error)) ServerOption {
	return WithBrokerOptions(mqttbroker.WithOnDisconnect(cb))
}
