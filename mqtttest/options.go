package mqtttest

// MosquittoOption configures [Mosquitto].
type MosquittoOption func(*settings)

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

// WithWebSocket adds a WebSocket listener.
func WithWebSocket() MosquittoOption {
	return func(s *settings) { s.webSocket = true }
}

// WithTLS adds a TLS listener with the server certificate of ca.
func WithTLS(ca *CA) MosquittoOption {
	return func(s *settings) { s.ca = ca }
}

// WithClientCertificates adds a TLS listener like [WithTLS] that requires a client certificate
// of ca.
func WithClientCertificates(ca *CA) MosquittoOption {
	return func(s *settings) { s.ca, s.clientCerts = ca, true }
}

// WithCredentials admits only this user. Default: all clients are admitted.
func WithCredentials(user, password string) MosquittoOption {
	return func(s *settings) { s.user, s.password = user, password }
}

// WithUser admits another user in addition to that of [WithCredentials], for example one for
// each device.
func WithUser(user, password string) MosquittoOption {
	return func(s *settings) { s.users = append(s.users, [2]string{user, password}) }
}

// WithMaxInflight sets max_inflight_messages: the number of QoS 1 and 2 messages that
// mosquitto sends before it waits for acknowledgements. Default: 20, that of mosquitto.
func WithMaxInflight(n int) MosquittoOption {
	return func(s *settings) { s.maxInflight = n }
}

// WithACL makes mosquitto use an access control file with these lines, for example "topic read
// allowed/#".
func WithACL(lines ...string) MosquittoOption {
	return func(s *settings) { s.acl = append(s.acl, lines...) }
}

// WithConfig appends lines to mosquitto.conf, after those of this package.
func WithConfig(lines ...string) MosquittoOption {
	return func(s *settings) { s.config = append(s.config, lines...) }
}
