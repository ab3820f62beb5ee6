package mqtt

import (
	"crypto/tls"

	"github.com/go-kratos/kratos/v3/middleware"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/operation"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
)

// ServerOption is an option of [NewServer]. Of two options for the same thing the later
// one applies.
type ServerOption func(s *Server)

// WithBrokerOptions adds options of broker/mqtt, which has those for the connection,
// publishing and dead letters. Errors of them are returned by Start.
func WithBrokerOptions(opts ...mqttbroker.Option) ServerOption {
	return func(s *Server) { s.options = append(s.options, opts...) }
}

func set(change func(*client.Settings)) ServerOption { return WithBrokerOptions(change) }

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

// WithAddress sets the broker URLs, tried in order: mqtt, tcp, mqtts, ssl, tls, ws or wss.
// Required here or in the configuration.
func WithAddress(addrs []string) ServerOption {
	return WithBrokerOptions(mqttbroker.WithAddress(addrs...))
}

// WithTLSConfig sets the TLS configuration for mqtts, ssl, tls and wss addresses; plain
// addresses are an error then.
func WithTLSConfig(c *tls.Config) ServerOption { return WithBrokerOptions(mqttbroker.WithTLSConfig(c)) }

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
//nolint:revive // the name is that of transport/mqtt
func WithClientId(clientId string) ServerOption {
	return WithBrokerOptions(mqttbroker.WithClientId(clientId))
}

// WithCodec sets the codec of messages without generated code, see broker/mqtt's WithCodec. An
// unknown name is an error of registrations, Publish and Start. Default: "json".
func WithCodec(c string) ServerOption { return WithBrokerOptions(mqttbroker.WithCodec(c)) }

// WithTracerProvider creates a span for each publish and each attempt of a handler with
// this provider. Default, and with nil: no spans.
func WithTracerProvider(p trace.TracerProvider) ServerOption {
	return WithBrokerOptions(mqttbroker.WithTracerProvider(p))
}

// WithPropagator sets the propagator of trace context. The span of a handler is linked to the
// publish, and is its child, with the sender's baggage, where the sender is trusted, see
// [mqttbroker.WithSubscribeTrustSender]. Default, and with nil: W3C trace context and baggage.
func WithPropagator(p propagation.TextMapPropagator) ServerOption {
	return WithBrokerOptions(mqttbroker.WithPropagator(p))
}

// WithGlobalTracerProvider is [WithTracerProvider] with OpenTelemetry's global provider, even if
// that is set later.
func WithGlobalTracerProvider() ServerOption {
	return WithBrokerOptions(mqttbroker.WithGlobalTracerProvider())
}

// WithGlobalPropagator is [WithPropagator] with OpenTelemetry's global propagator.
func WithGlobalPropagator() ServerOption { return WithBrokerOptions(mqttbroker.WithGlobalPropagator()) }

// WithOnConnect calls cb after each accepted connection, on a goroutine that it shares
// with the callback of [WithOnDisconnect]. It must not call Stop, which waits for it.
func WithOnConnect(cb func()) ServerOption { return WithBrokerOptions(mqttbroker.WithOnConnect(cb)) }

// WithOnDisconnect calls cb with an *event.Error after each lost connection, on the goroutine of
// [WithOnConnect]. It must not call Stop either. A disconnect by Stop does not count as a loss.
func WithOnDisconnect(cb func(error)) ServerOption {
	return WithBrokerOptions(mqttbroker.WithOnDisconnect(cb))
}

// AllowedMetadata names the Kratos metadata that is taken over from senders that are not
// trusted, see [mqttbroker.WithSubscribeTrustSender]: whole names, or what they begin with and
// a *, as in "x-md-global-region" and "x-md-local-*". A name that does not begin with x-md- is
// an error of Start. What is refused is counted as MetadataRefused of the health; the handler
// finds it in the headers of the message. Default: none.
func AllowedMetadata(names ...string) ServerOption {
	return set(func(s *client.Settings) { s.AllowedMetadata = names })
}

// ReplyTopics sets the response topics that repliers publish to, as templates that are bound to
// the request: text, parameters of the request's topic ("reply/{device_id}/#", or by the number
// of the wildcard "reply/{1}/#"), and an optional # at the end. An invalid template, or one
// without a parameter, is an error of Start and of registrations. Topics of the form inbox/<client
// id>/<random UUID> are always allowed; a reply to any other topic is dropped. Default: the
// templates of the method, or else reply/, followed by the values of all parameters, and /#.
func ReplyTopics(templates ...string) ServerOption {
	return set(func(s *client.Settings) { s.ReplyTopics = append([]string{}, templates...) })
}

// UnboundReplyTopics allows additional response topics that are not bound to the request: topics,
// and with # at the end all topics below. Every client that may send a request can then make the
// service publish to all readers of these topics. Default: none.
func UnboundReplyTopics(filters ...string) ServerOption {
	return set(func(s *client.Settings) { s.UnboundReplyTopics = append([]string{}, filters...) })
}
