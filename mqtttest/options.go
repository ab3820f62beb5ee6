package mqtttest

import "os"

// EmbeddedOption configures [Embedded].
type EmbeddedOption interface{ embedded(*settings) }

// MosquittoOption configures [Mosquitto].
type MosquittoOption interface{ mosquitto(*settings) }

// Option configures [Embedded] and [Mosquitto].
type Option interface {
	EmbeddedOption
	MosquittoOption
}

type settings struct {
	webSocket      bool
	ca             *CA
	clientCerts    bool
	user, password string
	maxInflight    int
	users          [][2]string // more of them, with their passwords
	acl            []string
	config         []string
}

type anyOption func(*settings)

func (o anyOption) embedded(s *settings)  { o(s) }
func (o anyOption) mosquitto(s *settings) { o(s) }

type mosquittoOption func(*settings)

func (o mosquittoOption) mosquitto(s *settings) { o(s) }

// WithWebSocket adds a WebSocket listener.
func WithWebSocket() Option {
	return anyOption(func(s *settings) { s.webSocket = true })
}

// WithTLS adds a TLS listener with the server certificate of ca.
func WithTLS(ca *CA) Option {
	return anyOption(func(s *settings) { s.ca = ca })
}

// WithClientCertificates adds a TLS listener as [WithTLS] does, and demands a
// client certificate of ca on it.
func WithClientCertificates(ca *CA) Option {
	return anyOption(func(s *settings) { s.ca, s.clientCerts = ca, true })
}

// WithCredentials admits only this user.
func WithCredentials(user, password string) Option {
	return anyOption(func(s *settings) { s.user, s.password = user, password })
}

// WithUser admits one more user beside that of [WithCredentials], as a broker has
// one for each device. Mosquitto only.
func WithUser(user, password string) MosquittoOption {
	return mosquittoOption(func(s *settings) { s.users = append(s.users, [2]string{user, password}) })
}

// WithMaxInflight sets max_inflight_messages: how many QoS 1 and 2 messages
// mosquitto sends before it waits for acknowledgements. Its own default is 20.
func WithMaxInflight(n int) MosquittoOption {
	return mosquittoOption(func(s *settings) { s.maxInflight = n })
}

// WithACL makes mosquitto use an access control file with these lines, for
// example "topic read allowed/#".
func WithACL(lines ...string) MosquittoOption {
	return mosquittoOption(func(s *settings) { s.acl = append(s.acl, lines...) })
}

// WithConfig appends lines to mosquitto.conf, after the ones that this package
// writes.
func WithConfig(lines ...string) MosquittoOption {
	return mosquittoOption(func(s *settings) { s.config = append(s.config, lines...) })
}

func inCI() bool { return os.Getenv("CI") == "true" }
