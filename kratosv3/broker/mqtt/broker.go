package mqtt

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/go-kratos/kratos/v3"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Broker is a service's connection to its MQTT broker. All methods are safe for concurrent
// use; their errors are an *event.Error, which Kratos' errors.FromError understands.
type Broker struct {
	of      client.Resolver
	lasting *client.Lasting
	spans   *client.Spans // nil begins none
	address string
	codec   string // of messages that are not of generated code
	served  bool   // by a server, which alone starts and stops it
}

// NewBroker returns a broker that connects with Start, and keeps its connection until Stop.
// It never returns nil. Errors of the options are reported together by Start, or the first
// method that is called.
func NewBroker(opts ...Option) *Broker {
	s := &client.Settings{Codec: "json", Codecs: codecNamed}
	s.Config.Logger = slogger{}
	b := &Broker{lasting: client.NewLasting()}
	s.Publish = b.send
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	var bad error
	if s.Spans, bad = newSpans(s); s.Spans != nil {
		b.spans = s.Spans
	}
	c, err := client.New(s, b.lasting, bad)
	b.of = func() (*client.Client, error) { return c, err }
	b.codec, b.address = s.Codec, addresses(s)
	if s.Bind != nil {
		b.served = true
		s.Bind(b.of)
	}
	return b
}

// newSpans returns the spans that the options ask for, or nil.
func newSpans(s *client.Settings) (*client.Spans, error) {
	if s.TracerProvider == nil {
		return nil, nil
	}
	if s.Propagator == nil {
		return client.NewSpans(s.TracerProvider(), nil)
	}
	return client.NewSpans(s.TracerProvider(), s.Propagator())
}

// addresses returns the broker URLs without user names and passwords.
func addresses(s *client.Settings) string {
	shown := make([]string, len(s.Config.Addresses))
	for i, a := range s.Config.Addresses {
		shown[i] = a.String()
	}
	return strings.Join(shown, ",")
}

// codecOf returns the codec of a name, or that of the options if name is "".
func (b *Broker) codecOf(name string) (envelope.Codec, error) {
	if name == "" {
		name = b.codec
	}
	if name == "" {
		return nil, nil
	}
	if c := codecNamed(name); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("codec %q is not registered", name)
}

// Name returns "mqtt".
func (b *Broker) Name() string { return kind }

// String returns name and address.
func (b *Broker) String() string { return b.Name() + " broker at " + b.address }

// Address returns the broker URLs, joined by commas, without user names and passwords.
func (b *Broker) Address() string { return b.address }

// Format writes the addresses only, whatever the verb, because a broker has secrets.
func (b *Broker) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, b.String()) }

// Start connects and subscribes, and keeps the connection until Stop. A broker that is down is
// not an error, unless fail-fast is set: the connection is retried in the background. Invalid
// options, a refused login and a refused filter are errors. While connected it does nothing.
// ctx bounds the first attempt, and the contexts of handlers have its values; its end after
// the first attempt has no effect. It is an error for the broker of a server.
func (b *Broker) Start(ctx context.Context) error {
	if err := b.own(ctx, "connect"); err != nil {
		return err
	}
	c, err := b.of()
	if err != nil {
		return err
	}
	if err := c.NameService(client.ApplicationName(kratos.FromContext(ctx))); err != nil {
		return err
	}
	return c.Start(ctx)
}

// Stop stops receiving, waits for running handlers, acknowledgements and publishes, and sends
// DISCONNECT. It takes until ctx ends at most, or 10 s if ctx has no deadline. Messages whose
// handlers have not finished stay unacknowledged, and pending publishes fail with
// MayHaveBeenSent. Subscriptions stay registered for the next start. Before the first start,
// and when called again, it does nothing. It is an error for the broker of a server.
func (b *Broker) Stop(ctx context.Context) error {
	if err := b.own(ctx, "disconnect"); err != nil {
		return err
	}
	if c, err := b.of(); err == nil { // else nothing was ever started
		return c.Stop(ctx)
	}
	return nil
}

// own returns why the broker cannot be started or stopped, or nil.
func (b *Broker) own(ctx context.Context, op string) error {
	switch {
	case ctx == nil:
		return client.BadRequest(op, "", "context is nil")
	case b.served:
		return client.BadRequest(op, "", "the server connects with Start and disconnects with Stop")
	}
	return nil
}

// Reload applies a changed configuration without a restart: user name, password, TLS files, the
// concurrency of handlers and of subscriptions, breakers, how handlers and publishes are
// retried, and their time limits. Sessions that the broker keeps are then connected anew with a
// changed login, and no message is lost. What a section leaves unset has its default; sections
// that the broker was not made from are ignored.
//
// If a changed value is invalid, nothing is applied and all problems are returned. A setting
// that is used after a restart only is an [event.SettingError] with the cause
// [event.ErrNeedsRestart]; all others have been applied.
func (b *Broker) Reload(c *v1.Settings) error {
	now, err := b.of()
	if err != nil {
		return err
	}
	return now.Reload(c)
}

// WaitReady returns nil once the broker is connected with every filter granted, and an error
// if ctx ends first. It may be called before Start.
func (b *Broker) WaitReady(ctx context.Context) error { return b.of.WaitReady(ctx) }

// Health returns a snapshot for readiness probes and metrics. It never waits.
func (b *Broker) Health() event.Health { return b.of.Health() }

// Filters returns the topic filters of all subscriptions, with the QoS that was asked for and the
// one that the broker granted. Before Start there are none. It never waits.
func (b *Broker) Filters() []event.FilterHealth { return b.of.Filters() }
