package mqtt

import (
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// WithConnection takes addresses, client id, credentials, TLS and times from a
// service's configuration. What is unset there keeps what options before it
// said, and options after it win. nil is an error of Init and Connect.
func WithConnection(c *v1.Connection) broker.Option { return bridge.Connection(c) }

// WithPublisher takes the publisher's settings from a service's configuration;
// what is unset keeps the defaults: a Publish without a deadline ends after
// 10 s, and payloads are 256 KiB at most.
func WithPublisher(p *v1.Publisher) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Publisher(p) })
}

// WithKratosLogger sets the logger. Default: the Kratos global logger.
func WithKratosLogger(l log.Logger) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.Logger = l })
}

// WithServiceName names the service; dead letters go to "dead-letter/<name>".
func WithServiceName(name string) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.Service = name })
}

// WithFailFast makes Connect an error when the first attempt fails, and leaves
// nothing running then. Default: false, a broker that is down is tried again
// in the background.
func WithFailFast(enable bool) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.FailFast = enable })
}

// WithCleanSession asks the broker to forget everything between connections.
// Default: true without a client id, false with one. With a clean session
// messages published while we are away are lost.
func WithCleanSession(enable bool) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.CleanSession = &enable })
}

// WithAuth sets user name and password, over those in an address. Neither is
// ever logged.
func WithAuth(username string, password string) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.Username, s.Config.Password = username, password })
}

// WithClientId sets the client id of the subscriber; the publisher adds
// "-pub". Each running process needs its own. Default: a random one, and
// messages published while the process is down are not kept.
//
//nolint:revive,staticcheck // the name is kratos-transport's
func WithClientId(clientId string) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.ClientID = clientId })
}

// WithAutoReconnect reconnects after a loss, and after a failed first attempt.
// Default: true. Without it Publish is an error after the first loss, until
// Disconnect and Connect.
func WithAutoReconnect(enable bool) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.NoReconnect = !enable })
}

// WithKeepAlive sets the keep-alive interval, sent in whole seconds, 1 s to
// 65,535 s. Default: 30 s.
func WithKeepAlive(k time.Duration) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.KeepAlive = k })
}

// WithMaxReconnectInterval caps the reconnect backoff, which has full jitter.
// Default: 30 s.
func WithMaxReconnectInterval(k time.Duration) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.MaxReconnectDelay = k })
}

// WithConnectRetryInterval sets the first pause of the reconnect backoff.
// Default: 200 ms.
func WithConnectRetryInterval(k time.Duration) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.MinReconnectDelay = k })
}

// WithWriteTimeout bounds each write to the socket. Default: 10 s, never above
// the keep-alive.
func WithWriteTimeout(k time.Duration) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.WriteTimeout = k })
}

// WithConnectTimeout bounds dial, TLS handshake and CONNACK together. Default:
// 10 s.
func WithConnectTimeout(k time.Duration) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.ConnectTimeout = k })
}

// WithPingTimeout bounds the wait for a PINGRESP. Default: 10 s.
func WithPingTimeout(k time.Duration) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.PingTimeout = k })
}

// WithProtocolVersion forces a protocol version: 4 is MQTT 3.1.1. Others are
// an error of Init and Connect. Default: 4.
func WithProtocolVersion(pv uint) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.ProtocolVersion = pv })
}

// WithOnConnect calls cb after each accepted connection, on a goroutine that
// it must not block for long, and from which it must not call Disconnect. A
// panic is logged. nil calls nothing.
func WithOnConnect(cb func()) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.Config.OnConnect = cb })
}

// WithOnDisconnect calls cb with an *event.Error after each lost connection, on
// a goroutine that it must not block for long, and from which it must not call
// Disconnect. A Disconnect of our own is no loss. A panic is logged. nil calls
// nothing.
func WithOnDisconnect(cb func(error)) broker.Option {
	return bridge.Option(func(s *bridge.Settings) { s.OnDisconnect = cb })
}
