package mqtt

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/proto"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// Option is an option of [NewBroker], of [Open], and of servers.
type Option func(*settings)

type settings = client.Settings

// WithConnectionConfig sets addresses, client id, credentials, TLS and times from a service's
// configuration. Unset fields keep the values of earlier options; later options take precedence.
// nil is an error of Start.
func WithConnectionConfig(c *v1.Connection) Option {
	return func(s *settings) {
		s.TakeAddresses(c.GetAddresses())
		if t := c.GetTls(); t != nil && !proto.Equal(t, new(v1.TLS)) {
			s.TLS = nil
		}
		s.Connection(c)
	}
}

// WithAddress sets the broker URLs, tried in order: mqtt, tcp, mqtts, ssl, tls, ws or wss.
// Required here or in the configuration.
func WithAddress(addresses ...string) Option { return func(s *settings) { s.TakeAddresses(addresses) } }

// WithTLSConfig sets the TLS configuration for mqtts, ssl, tls and wss addresses; plain addresses
// are an error then. Default: nil, that of the files of the configuration.
func WithTLSConfig(c *tls.Config) Option { return func(s *settings) { s.TLS = c } }

// WithEnableSecure requires TLS: plain addresses are an error of Start. Default: false.
func WithEnableSecure(enable bool) Option { return func(s *settings) { s.Secure = enable } }

// WithCodec sets the codec of messages without generated code by name: "json", "proto", or any
// other in the Kratos registry; protobuf messages are ProtoJSON in "json". "" means no codec: only
// bytes and strings, as they are. Default: "json".
func WithCodec(name string) Option { return func(s *settings) { s.Codec = name } }

// WithTracerProvider creates a span for each publish and each attempt of a handler with this
// provider. Default, and with nil: no spans.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(s *settings) {
		if s.TracerProvider = nil; p != nil {
			s.TracerProvider = func() trace.TracerProvider { return p }
		}
	}
}

// WithPropagator sets the propagator of trace context, which travels in user properties (MQTT 5)
// or in the attributes of a CloudEvent. Default, and with nil: W3C trace context and baggage.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(s *settings) {
		if s.Propagator = nil; p != nil {
			s.Propagator = func() propagation.TextMapPropagator { return p }
		}
	}
}

// WithGlobalTracerProvider is [WithTracerProvider] with OpenTelemetry's global provider, even if
// that is set later.
func WithGlobalTracerProvider() Option {
	return func(s *settings) { s.TracerProvider = otel.GetTracerProvider }
}

// WithGlobalPropagator is [WithPropagator] with OpenTelemetry's global propagator.
func WithGlobalPropagator() Option {
	return func(s *settings) { s.Propagator = otel.GetTextMapPropagator }
}

// WithPublisherConfig sets the publisher's settings from a service's configuration. Unset fields
// keep their defaults: a Publish without a deadline ends after 10 s, and payloads are at most 256
// KiB.
func WithPublisherConfig(p *v1.Publisher) Option { return func(s *settings) { s.Publisher(p) } }

// WithKratosLogger sets the logger. Default, and for nil: slog's default logger at the time of each
// line, which kratos.Logger sets.
func WithKratosLogger(l *slog.Logger) Option {
	return func(s *settings) { s.Config.Logger = slogger{l} }
}

// WithServiceName sets the name of the service: in dead letters, and for {service} in client ids
// and groups.
func WithServiceName(name string) Option { return func(s *settings) { s.Config.Service = name } }

// WithFailFast makes Start return an error when the first attempt fails, with nothing left
// running. Default: false, the connection is retried in the background.
func WithFailFast(enable bool) Option { return func(s *settings) { s.Config.FailFast = enable } }

// WithCleanSession asks the broker to discard the session between connections. Default: true
// without a client id, false with one.
func WithCleanSession(enable bool) Option {
	return func(s *settings) { s.Config.CleanSession = &enable }
}

// WithAuth sets user name and password; they take precedence over those in an address. Neither is
// ever logged.
func WithAuth(username string, password string) Option {
	return func(s *settings) { s.Config.Username, s.Config.Password = username, password }
}

// WithCredentials calls ask for user name and password before each CONNECT, so that a renewed token
// is used from the next connection on. Default: nil, the fixed credentials.
func WithCredentials(ask func(ctx context.Context) (username, password string, err error)) Option {
	return func(s *settings) { s.Config.Credentials = ask }
}

// WithAuthenticator makes a perform the enhanced authentication of MQTT 5, beside or in place of
// user name and password; [event.NewTokenAuthenticator] is one for tokens. Default: nil, none; a
// broker that asks for it is an error.
func WithAuthenticator(a event.Authenticator) Option {
	return func(s *settings) { s.Config.Authenticator = a }
}

// WithClientId sets the client id of the subscriber; the publisher adds "-pub". It is a template, in which
// {service}, {hostname}, {ordinal} and {random} are replaced, each with an optional default as in
// {ordinal:0}; [WithServiceName], or else OTEL_SERVICE_NAME or the Kratos application, names the
// service. The broker keeps a session for an id without {random}, which no other replica may have;
// within one process it subscribes once at an address: a second session is TAKEN_OVER. Default:
// "{service:kratos}-{random}", and messages published while the process is down are not kept.
//
//nolint:revive // the name is kratos-transport's
func WithClientId(clientId string) Option { return func(s *settings) { s.Config.ClientID = clientId } }

// WithAutoReconnect reconnects after a loss, and after a failed first attempt. Default: true.
func WithAutoReconnect(enable bool) Option {
	return func(s *settings) { s.Config.NoReconnect = !enable }
}

// WithKeepAlive sets the keep-alive interval, sent in whole seconds, 1 s to 65,535 s. Default: 30
// s.
func WithKeepAlive(k time.Duration) Option { return func(s *settings) { s.Config.KeepAlive = k } }

// WithMaxReconnectInterval caps the reconnect backoff, which has full jitter. Default: 30 s.
func WithMaxReconnectInterval(k time.Duration) Option {
	return func(s *settings) { s.Config.MaxReconnectDelay = k }
}

// WithConnectRetryInterval sets the first pause of the reconnect backoff. Default: 200 ms.
func WithConnectRetryInterval(k time.Duration) Option {
	return func(s *settings) { s.Config.MinReconnectDelay = k }
}

// WithWriteTimeout bounds each write to the socket. Default: 10 s, never above the keep-alive.
func WithWriteTimeout(k time.Duration) Option { return func(s *settings) { s.Config.WriteTimeout = k } }

// WithConnectTimeout bounds dial, TLS handshake and CONNACK together. Default: 10 s.
func WithConnectTimeout(k time.Duration) Option {
	return func(s *settings) { s.Config.ConnectTimeout = k }
}

// WithPingTimeout bounds the wait for a PINGRESP. Default: 10 s.
func WithPingTimeout(k time.Duration) Option { return func(s *settings) { s.Config.PingTimeout = k } }

// WithProtocolVersion forces a protocol version by its level: 4 is MQTT 3.1.1 and 5 is MQTT 5;
// others are an error of Start. Default: see [WithProtocol].
func WithProtocolVersion(pv uint) Option {
	name := strconv.FormatUint(uint64(pv), 10)
	if pv == level311 {
		name = "3.1.1"
	}
	return WithProtocol(name)
}

// level311 is the protocol level of MQTT 3.1.1 [MQTT-3.1.2-2].
const level311 = 4

// WithProtocol sets the version of MQTT: "3.1.1", "5", or "auto", which tries 5, falls back to
// 3.1.1 if the broker does not support 5, and never downgrades after a connection with 5. Default:
// the preset's, else auto.
func WithProtocol(version string) Option { return func(s *settings) { s.Protocol = version } }

// WithPreset names the broker product, for limits that the broker does not announce itself:
// "aws", "emqx", "gmqtt", "mosquitto", "nats" or "rabbitmq". Default: none.
func WithPreset(name string) Option { return func(s *settings) { s.Preset = name } }

// WithSessionExpiry sets how long the broker keeps a session after a disconnect, in whole seconds.
// It applies to MQTT 5 and to sessions that are not clean. Default: 24 h.
func WithSessionExpiry(d time.Duration) Option {
	return func(s *settings) { s.Config.SessionExpiry = d }
}

// WithWill has the broker publish a message when the connection ends without a DISCONNECT. It
// belongs to the subscriber, or to the publisher when nothing is subscribed at Start. Default:
// none.
func WithWill(topic string, payload []byte, qos byte, retain bool) Option {
	return func(s *settings) {
		s.Config.Will = &client.Message{Topic: topic, Payload: payload, QoS: qos, Retain: retain}
	}
}

// WithWebSocketHeader sends headers with the upgrade request of ws and wss addresses; names are not
// case-sensitive. A Host header replaces the host of the request, which otherwise is that of the
// address, without the scheme's default port. Default: none.
func WithWebSocketHeader(h http.Header) Option { return func(s *settings) { s.Header(h) } }

// WithProxy sets the proxy for connections, as "scheme://[user:password@]host:port". The schemes
// are http (a CONNECT tunnel), https (the same, over TLS), and socks5 or socks5h, where the proxy
// resolves the broker's name. Default: "", no proxy, regardless of the environment.
func WithProxy(url string) Option { return func(s *settings) { s.Proxy = url } }

// WithStrict turns security warnings at the start into errors of Start: a password,
// another credential or an Authorization header that is sent in clear text to a broker or a proxy
// on another machine, and a certificate that is not verified. Default: false.
func WithStrict(enable bool) Option { return func(s *settings) { s.Strict = enable } }

// WithALPN sets the protocols to offer in the TLS handshake of mqtts, ssl and tls addresses, in
// order of preference, for example "x-amzn-mqtt-ca" for AWS IoT at port 443. Default: none.
func WithALPN(protocols ...string) Option { return func(s *settings) { s.ALPN = protocols } }

// WithPublisherConnections sets the number of publishing connections. A topic always uses the same
// connection, so its messages keep their order. Default: 1.
func WithPublisherConnections(n int) Option { return func(s *settings) { s.Config.Connections = n } }

// WithTopicAliases replaces up to n topics of a publishing connection by two-byte aliases on MQTT
// 5, as far as the broker accepts them. It pays off for long topics with small payloads. Default:
// 0, none.
func WithTopicAliases(n int) Option { return func(s *settings) { s.Config.TopicAliases = n } }

// WithInFlight sets the maximum of QoS 1 and 2 messages in flight on a connection. The broker's
// receive maximum applies if it is lower. Default: 256.
func WithInFlight(n int) Option { return func(s *settings) { s.Config.Window = n } }

// WithOnConnect calls cb after each accepted connection. It shares a goroutine with the callback of
// [WithOnDisconnect]; a callback that hangs delays nothing else. cb must not call Stop, which
// waits for it.
func WithOnConnect(cb func()) Option { return func(s *settings) { s.Config.OnConnect = cb } }

// WithOnDisconnect calls cb with an *event.Error after each lost connection, on the goroutine of
// [WithOnConnect]. It is not called after Stop. cb must not call Stop.
func WithOnDisconnect(cb func(error)) Option { return func(s *settings) { s.Config.OnDisconnect = cb } }

// WithCloudEvents sends every message as a CloudEvent in structured JSON
// (application/cloudevents+json), on both versions of MQTT; on MQTT 3.1.1 this is the only form
// that has headers. source is the event's source, a URI reference; an empty one is an error of
// Start. Default: bare messages.
func WithCloudEvents(source string) Option { return func(s *settings) { s.CloudEvents = &source } }

// WithHooks adds hooks, each of which implements one or more of the hook interfaces of package
// event; a value that implements none of them is an error of Start. Default: no hooks,
// at no cost.
func WithHooks(hooks ...any) Option { return func(s *settings) { s.Hooks = append(s.Hooks, hooks...) } }

// WithSelfTest sends a message to each of these topics after the start on the publishing
// connection, and waits for it on a third connection, whose client id is the publisher's with
// "-test" added. Default: none.
func WithSelfTest(topics ...string) Option { return func(s *settings) { s.Config.SelfTest = topics } }

// WithRelaxedAcks acknowledges each message when it is done instead of in the order of arrival, so
// that a slow message does not delay later ones. Use it with brokers that accept any order on MQTT
// 3.1.1; on MQTT 5 the order is always kept [MQTT-4.6.0-2]. Default: false.
func WithRelaxedAcks(enable bool) Option { return func(s *settings) { s.Config.RelaxedAcks = enable } }
