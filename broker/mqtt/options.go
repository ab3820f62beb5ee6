package mqtt

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// with makes an option of a change to the settings. Changes are made in order and survive a
// replaced option context.
func with(set func(*client.Settings)) broker.Option {
	return func(o *broker.Options) {
		if o != nil {
			o.Context = option.Change(o.Context, set)
		}
	}
}

// WithConnectionConfig sets addresses, client id, credentials, TLS and times from a service's
// configuration. Unset fields keep the values of earlier options; later options take
// precedence. nil is an error of Init and Connect.
func WithConnectionConfig(c *v1.Connection) broker.Option {
	return func(o *broker.Options) {
		if o == nil {
			return
		}
		if addrs := c.GetAddresses(); len(addrs) > 0 {
			o.Addrs = slices.Clip(addrs)
		}
		if t := c.GetTls(); t != nil && !proto.Equal(t, new(v1.TLS)) {
			o.TLSConfig = nil
		}
		with(func(s *client.Settings) { s.Connection(c) })(o)
	}
}

// WithPublisherConfig sets the publisher's settings from a service's configuration. Unset
// fields keep their defaults: a Publish without a deadline ends after 10 s, and
// payloads are at most 256 KiB.
func WithPublisherConfig(p *v1.Publisher) broker.Option {
	return with(func(s *client.Settings) { s.Publisher(p) })
}

// WithKratosLogger sets the logger. Default, and for nil: the global Kratos logger.
func WithKratosLogger(l log.Logger) broker.Option {
	return with(func(s *client.Settings) { s.Config.Logger = newLog(l) })
}

// WithServiceName sets the name of the service: in dead letters, and for {service} in client ids
// and groups.
func WithServiceName(name string) broker.Option {
	return with(func(s *client.Settings) { s.Config.Service = name })
}

// WithFailFast makes Connect return an error when the first attempt fails, with nothing
// left running. Default: false, the connection is retried in the background.
func WithFailFast(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.Config.FailFast = enable })
}

// WithCleanSession asks the broker to discard the session between connections. Default:
// true without a client id, false with one. With a clean session, messages that are
// published while the client is disconnected are lost.
func WithCleanSession(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.Config.CleanSession = &enable })
}

// WithAuth sets user name and password; they take precedence over those in an address.
// Neither is ever logged.
func WithAuth(username string, password string) broker.Option {
	return with(func(s *client.Settings) { s.Config.Username, s.Config.Password = username, password })
}

// WithCredentials calls ask for user name and password before each CONNECT, so that a
// renewed token is used from the next connection on. It takes precedence over
// [WithAuth] and over credentials in an address. ask runs on a goroutine of the
// connection, also for the publishing connection; ctx ends with the connect timeout. An
// error of ask is reported as the error of the attempt, and must not contain a secret.
// Default: nil, the fixed credentials.
func WithCredentials(ask func(ctx context.Context) (username, password string, err error)) broker.Option {
	return with(func(s *client.Settings) { s.Config.Credentials = ask })
}

// WithAuthenticator makes a perform the enhanced authentication of MQTT 5, beside or in place of
// user name and password; [event.NewTokenAuthenticator] is one for tokens. The client then
// speaks MQTT 5 only. When an exchange names a time, the client authenticates again on the open
// connection; if new credentials cannot be obtained, that is logged and tried again. Default:
// nil, none; a broker that asks for it is an error.
func WithAuthenticator(a event.Authenticator) broker.Option {
	return with(func(s *client.Settings) { s.Config.Authenticator = a })
}

// WithClientId sets the client id of the subscriber; the publisher adds "-pub". It is
// a template: {service} is the name of [WithServiceName], of OTEL_SERVICE_NAME or of the
// Kratos application, {hostname} that of the host, {ordinal} the number of a pod of a
// StatefulSet or MQTT_ORDINAL, and {random} differs after each start. Each may have a
// default, {ordinal:0}; one without a value is an error. The broker keeps a session for
// an id without {random}, which no other replica may have. Within one process an id
// subscribes once at an address: a second session is TAKEN_OVER. Default:
// "{service:kratos}-{random}", and messages published while the process is down are
// not kept.
//
//nolint:revive // the name is kratos-transport's
func WithClientId(clientId string) broker.Option {
	return with(func(s *client.Settings) { s.Config.ClientID = clientId })
}

// WithAutoReconnect reconnects after a loss, and after a failed first attempt. Default:
// true. Without it Publish returns an error after the first loss, until Disconnect and
// Connect are called.
func WithAutoReconnect(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.Config.NoReconnect = !enable })
}

// WithKeepAlive sets the keep-alive interval, sent in whole seconds, 1 s to
// 65,535 s. Default: 30 s.
func WithKeepAlive(k time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.KeepAlive = k })
}

// WithMaxReconnectInterval caps the reconnect backoff, which has full jitter.
// Default: 30 s.
func WithMaxReconnectInterval(k time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.MaxReconnectDelay = k })
}

// WithConnectRetryInterval sets the first pause of the reconnect backoff.
// Default: 200 ms.
func WithConnectRetryInterval(k time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.MinReconnectDelay = k })
}

// WithWriteTimeout bounds each write to the socket. Default: 10 s, never above
// the keep-alive.
func WithWriteTimeout(k time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.WriteTimeout = k })
}

// WithConnectTimeout bounds dial, TLS handshake and CONNACK together. Default:
// 10 s.
func WithConnectTimeout(k time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.ConnectTimeout = k })
}

// WithPingTimeout bounds the wait for a PINGRESP. Default: 10 s.
func WithPingTimeout(k time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.PingTimeout = k })
}

// WithProtocolVersion forces a protocol version by its level: 4 is MQTT 3.1.1
// and 5 is MQTT 5; others are an error of Init and Connect. Default: see
// [WithProtocol].
func WithProtocolVersion(pv uint) broker.Option {
	name := strconv.FormatUint(uint64(pv), 10)
	if pv == level311 {
		name = "3.1.1"
	}
	return WithProtocol(name)
}

// level311 is the protocol level of MQTT 3.1.1 [MQTT-3.1.2-2].
const level311 = 4

// WithProtocol sets the version of MQTT: "3.1.1", "5", or "auto", which tries 5, falls
// back to 3.1.1 if the broker does not support 5, and never downgrades after a
// connection with 5. Default: the preset's, else auto.
func WithProtocol(version string) broker.Option {
	return with(func(s *client.Settings) { s.Protocol = version })
}

// WithPreset names the broker product, for limits that the broker does not announce
// itself: "aws", "emqx", "gmqtt", "mosquitto", "nats" or "rabbitmq". Default: none.
func WithPreset(name string) broker.Option {
	return with(func(s *client.Settings) { s.Preset = name })
}

// WithSessionExpiry sets how long the broker keeps a session after a disconnect, in
// whole seconds. It applies to MQTT 5 and to sessions that are not clean. Default: 24
// h.
func WithSessionExpiry(d time.Duration) broker.Option {
	return with(func(s *client.Settings) { s.Config.SessionExpiry = d })
}

// WithWill has the broker publish a message when the connection ends without a
// DISCONNECT. It belongs to the subscriber, or to the publisher when nothing is
// subscribed at Connect. Default: none.
func WithWill(topic string, payload []byte, qos byte, retain bool) broker.Option {
	return with(func(s *client.Settings) {
		s.Config.Will = &client.Message{Topic: topic, Payload: payload, QoS: qos, Retain: retain}
	})
}

// WithWebSocketHeader sends headers with the upgrade request of ws and wss addresses;
// names are not case-sensitive. A Host header replaces the host of the request, which
// otherwise is that of the address, without the scheme's default port. Headers are
// never logged. Default: none.
func WithWebSocketHeader(h http.Header) broker.Option {
	return with(func(s *client.Settings) { s.Header(h) })
}

// WithProxy sets the proxy for connections, as "scheme://[user:password@]host:port".
// The schemes are http (a CONNECT tunnel), https (the same, over TLS), and socks5 or
// socks5h, where the proxy resolves the broker's name. TLS and WebSocket run inside the
// proxied connection. "environment" uses ALL_PROXY; HTTPS_PROXY takes precedence for
// encrypted addresses and HTTP_PROXY for ws, except for hosts of NO_PROXY and this
// machine. The certificate of an https proxy is verified like the broker's. User name
// and password are never logged; connection errors name the proxy. An invalid URL is an
// error of Init and Connect. Default: "", no proxy, regardless of the environment.
func WithProxy(url string) broker.Option {
	return with(func(s *client.Settings) { s.Proxy = url })
}

// WithStrict turns security warnings at the start into errors of Init and Connect: a
// password, another credential or an Authorization header that is sent in clear text to
// a broker or a proxy on another machine, and a certificate that is not verified.
// Default: false.
func WithStrict(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.Strict = enable })
}

// WithALPN sets the protocols to offer in the TLS handshake of mqtts, ssl and tls
// addresses, in order of preference, for example "x-amzn-mqtt-ca" for AWS IoT at port
// 443. They replace those of the TLS configuration. A broker that supports none of them
// refuses the handshake. wss always uses "http/1.1"; a plain address together with this
// option is an error. Default: none.
func WithALPN(protocols ...string) broker.Option {
	return with(func(s *client.Settings) { s.ALPN = protocols })
}

// WithPublisherConnections sets the number of publishing connections. A topic always uses the
// same connection, so its messages keep their order. Default: 1.
func WithPublisherConnections(n int) broker.Option {
	return with(func(s *client.Settings) { s.Config.Connections = n })
}

// WithTopicAliases replaces up to n topics of a publishing connection by two-byte
// aliases on MQTT 5, as far as the broker accepts them. It pays off for long topics
// with small payloads. Default: 0, none.
func WithTopicAliases(n int) broker.Option {
	return with(func(s *client.Settings) { s.Config.TopicAliases = n })
}

// WithInFlight sets the maximum of QoS 1 and 2 messages in flight on a connection. The
// broker's receive maximum applies if it is lower. Default: 256.
func WithInFlight(n int) broker.Option {
	return with(func(s *client.Settings) { s.Config.Window = n })
}

// WithOnConnect calls cb after each accepted connection. It shares a goroutine with the
// callback of [WithOnDisconnect]; a callback that hangs delays nothing else. cb must
// not call Disconnect, which waits for it. A panic is logged. nil means no callback.
func WithOnConnect(cb func()) broker.Option {
	return with(func(s *client.Settings) { s.Config.OnConnect = cb })
}

// WithOnDisconnect calls cb with an *event.Error after each lost connection, on the
// goroutine of [WithOnConnect]. It is not called after Disconnect. cb must not call
// Disconnect. A panic is logged. nil means no callback.
func WithOnDisconnect(cb func(error)) broker.Option {
	return with(func(s *client.Settings) { s.Config.OnDisconnect = cb })
}

// WithCloudEvents sends every message as a CloudEvent in structured JSON
// (application/cloudevents+json), on both versions of MQTT; on MQTT 3.1.1 this is the
// only form that has headers. source is the event's source, a URI reference; an empty
// one is an error of Init and Connect. The event's id is the message's id or a UUIDv7,
// its type the full name of the protobuf message or "bytes", its subject the topic.
// Headers become extension attributes: a name with characters other than lower-case
// letters and digits is an error of the publish. JSON data stays readable, other data
// is encoded as base64.
//
// Structured events that arrive are unwrapped. On MQTT 5 they are recognized by their
// content type, also without this option. Messages without a content type, such as all
// on 3.1.1, are only recognized with this option: a JSON object with a specversion is
// an event, anything else a bare message. A malformed event is a dead letter. Default:
// bare messages.
func WithCloudEvents(source string) broker.Option {
	return with(func(s *client.Settings) { s.CloudEvents = &source })
}

// WithHooks adds hooks, each of which implements one or more of the hook interfaces of
// package event; a value that implements none of them is an error of Init and Connect.
// Further calls add more hooks. Package event describes what a hanging hook delays.
// Default: no hooks, at no cost.
func WithHooks(hooks ...any) broker.Option {
	return with(func(s *client.Settings) { s.Hooks = append(s.Hooks, hooks...) })
}

// WithSelfTest sends a message to each of these topics after the start on the
// publishing connection, and waits for it on a third connection, whose client id is the
// publisher's with "-test" added. A message that does not come back within 3 s is
// logged and reported as SelfTestError in Health. It is meant for MQTT 3.1.1, where a
// broker acknowledges a publish that its access rules forbid and drops it. Name topics
// that the same rules apply to, that may also be read, and where a message with a UUID
// as payload does no harm. Default: none.
func WithSelfTest(topics ...string) broker.Option {
	return with(func(s *client.Settings) { s.Config.SelfTest = topics })
}

// WithRelaxedAcks acknowledges each message when it is done instead of in the order of
// arrival, so that a slow message does not delay later ones. Use it with brokers that
// accept any order on MQTT 3.1.1; on MQTT 5 the order is always kept [MQTT-4.6.0-2].
// Default: false.
func WithRelaxedAcks(enable bool) broker.Option {
	return with(func(s *client.Settings) { s.Config.RelaxedAcks = enable })
}
