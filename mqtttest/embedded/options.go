package embedded

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
)

// DefaultMaximumPacketSize is the largest packet, in bytes, that the broker
// accepts from a client and announces to MQTT 5 clients unless
// [WithMaximumPacketSize] says otherwise.
const DefaultMaximumPacketSize = 1 << 20

// ErrNotLoopback is wrapped by the error of [New] when an address is not a
// loopback address and [AllowNonLoopback] is not given.
var ErrNotLoopback = errors.New("not a loopback address")

// Option configures a [Broker].
type Option func(*config)

type config struct {
	listeners        []endpoint
	allowNonLoopback bool
	maximumPacket    uint32
	maximumClients   int64
	user, password   string
	log              *slog.Logger
}

// endpoint is one address to listen on.
type endpoint struct {
	scheme  string // mqtt, mqtts, ws or wss
	address string
	tls     *tls.Config
}

// url is the address that clients dial.
func (e endpoint) url() string {
	u := e.scheme + "://" + e.address
	if e.scheme == "ws" || e.scheme == "wss" {
		u += "/mqtt"
	}
	return u
}

// WithAddress sets the TCP address of the plain MQTT listener. The default is
// 127.0.0.1:0, a free port; [Broker.URL] tells which.
func WithAddress(address string) Option {
	return func(c *config) { c.listeners[0].address = address }
}

// WithTLS adds an MQTT listener over TLS on address.
func WithTLS(address string, cfg *tls.Config) Option {
	return func(c *config) {
		c.listeners = append(c.listeners, endpoint{scheme: "mqtts", address: address, tls: cfg})
	}
}

// WithWebSocket adds an MQTT listener over WebSocket on address, over TLS when
// cfg is not nil. Every path is accepted.
func WithWebSocket(address string, cfg *tls.Config) Option {
	scheme := "ws"
	if cfg != nil {
		scheme = "wss"
	}
	return func(c *config) {
		c.listeners = append(c.listeners, endpoint{scheme: scheme, address: address, tls: cfg})
	}
}

// WithCredentials admits only clients that present this user name and
// password. By default everybody who reaches the address is admitted.
func WithCredentials(user, password string) Option {
	return func(c *config) { c.user, c.password = user, password }
}

// WithMaximumPacketSize sets the largest packet in bytes; the default is
// [DefaultMaximumPacketSize]. A client that sends more is disconnected before
// the packet is read.
func WithMaximumPacketSize(n uint32) Option {
	return func(c *config) { c.maximumPacket = n }
}

// WithMaximumClients sets how many clients may be connected at once; the
// default is 10,000.
func WithMaximumClients(n int64) Option {
	return func(c *config) { c.maximumClients = n }
}

// WithLogger makes the broker log there. By default it is silent.
func WithLogger(log *slog.Logger) Option {
	return func(c *config) { c.log = log }
}

// AllowNonLoopback permits addresses that other machines can reach. The broker
// is not made for that: use it in closed networks only.
func AllowNonLoopback() Option {
	return func(c *config) { c.allowNonLoopback = true }
}

func newConfig(opts []Option) (*config, error) {
	c := &config{
		listeners:      []endpoint{{scheme: "mqtt", address: "127.0.0.1:0"}},
		maximumPacket:  DefaultMaximumPacketSize,
		maximumClients: 10_000,
		log:            slog.New(slog.DiscardHandler),
	}
	for _, opt := range opts {
		opt(c)
	}
	return c, c.validate()
}

// validate reports all problems at once and replaces every address by the
// resolved one, so that what was checked is what is opened.
func (c *config) validate() error {
	var errs []error
	for i := range c.listeners {
		l := &c.listeners[i]
		addr, err := net.ResolveTCPAddr("tcp", l.address)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("embedded broker: address %q: %w", l.address, err))
			continue
		case !addr.IP.IsLoopback() && !c.allowNonLoopback:
			errs = append(errs, fmt.Errorf("embedded broker: address %q: %w", l.address, ErrNotLoopback))
		case l.tls == nil && l.scheme == "mqtts":
			errs = append(errs, fmt.Errorf("embedded broker: address %q: TLS listener without TLS configuration", l.address))
		}
		l.address = addr.String()
	}
	if c.maximumPacket < 2 {
		errs = append(errs, errors.New("embedded broker: maximum packet size below 2 bytes"))
	}
	if c.maximumClients < 1 {
		errs = append(errs, errors.New("embedded broker: maximum clients below 1"))
	}
	if c.log == nil {
		errs = append(errs, errors.New("embedded broker: nil logger"))
	}
	return errors.Join(errs...)
}
