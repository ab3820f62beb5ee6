package mqtt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/encoding"
	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
)

// Broker is a service's connection to its MQTT broker. It implements kratos-transport's
// broker.Broker. All methods are safe for concurrent use; their errors are an
// *event.Error, which kratos errors.FromError understands.
type Broker struct {
	now     atomic.Pointer[front] // nil until first needed, never again after
	lasting *client.Lasting

	mu       sync.RWMutex // written to by Init; read by what belongs to one client
	settings client.Settings

	optionsMu sync.RWMutex // of options: mu is held while the settings are resolved
	options   broker.Options
}

var _ broker.Broker = (*Broker)(nil)

// front is the result of resolving the options. It does not change; Init replaces it.
type front struct {
	broker  *Broker
	client  *client.Client // nil when err is not
	err     error
	log     logsafe.Log
	options broker.Options
	publish broker.PublishHandler // with the middleware around it
	spans   *client.Spans         // nil begins none
}

// NewBroker returns a broker that connects with Connect or Start, and then keeps its
// connection until Disconnect or Stop. It never returns nil. Errors of the options are
// reported together by Init, Connect, or the first method that is called.
func NewBroker(opts ...broker.Option) *Broker {
	b := &Broker{options: broker.NewOptions(), lasting: client.NewLasting()}
	s := &b.settings
	s.Config.Logger = newLog(nil)
	s.Codecs = codecNamed
	s.Publish = func(ctx context.Context, m *envelope.Message) error { return b.now.Load().publishReady(ctx, m) }
	b.apply(opts)
	if s.Bind != nil {
		s.Bind(b.client)
	}
	return b
}

// apply applies options on top of the current ones. Afterwards the generic options
// contain no user name and password: they are in the settings only.
func (b *Broker) apply(opts []broker.Option) {
	s, o := &b.settings, b.Options() // a copy, without the lock: an option may read the broker
	option.Apply(&option.Context[client.Settings]{Settings: s}, &o, &o.Context, opts)
	o.Addrs = s.TakeAddresses(o.Addrs)
	s.TLS, s.Secure = o.TLSConfig, o.Secure
	b.optionsMu.Lock()
	defer b.optionsMu.Unlock()
	b.options = o
}

// resolve resolves the options. mu is held.
func (b *Broker) resolve() *front {
	s, f := &b.settings, &front{broker: b, log: logsafe.Log{Logger: b.settings.Config.Logger}, options: b.Options()}
	var bad, untraceable error
	f.publish, bad = client.Wrap(f.send, f.options.PublishMiddlewares)
	f.spans, untraceable = newSpans(s, f.options.Tracings)
	s.Spans = f.spans
	f.client, f.err = client.New(s, b.lasting, errors.Join(bad, untraceable))
	b.now.Store(f)
	return f
}

// front returns the resolved options, and resolves them at the first call. If they are
// invalid, it returns the error.
func (b *Broker) front() (*front, error) {
	f := b.now.Load()
	if f == nil {
		b.mu.Lock()
		if f = b.now.Load(); f == nil {
			f = b.resolve()
		}
		b.mu.Unlock()
	}
	return f, f.err
}

// codecNamed looks up a codec in Kratos' registry.
func codecNamed(name string) envelope.Codec {
	if c := encoding.GetCodec(name); c != nil {
		return c
	}
	return nil
}

// codec returns the codec of a name, or that of the options if name is "", which is nil where
// only bytes and texts are sent and received.
func (f *front) codec(name string) (envelope.Codec, error) {
	if name == "" {
		return f.options.Codec, nil
	}
	if c := codecNamed(name); c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("codec %q is not registered", name)
}

// client returns the client behind the broker, which Init replaces, or an error if the
// options are invalid.
func (b *Broker) client() (*client.Client, error) {
	f, err := b.front()
	return f.client, err
}

// of returns the operations that the client has under the same name.
func (b *Broker) of() client.Resolver { return b.client }

// settled returns the client and prevents Init from replacing it until done is called.
func (b *Broker) settled() (c *client.Client, done func(), err error) {
	if _, err := b.front(); err != nil {
		return nil, nil, err
	}
	b.mu.RLock()
	f := b.now.Load()
	if f.err != nil {
		b.mu.RUnlock()
		return nil, nil, f.err
	}
	return f.client, b.mu.RUnlock, nil
}

// Name returns "mqtt".
func (b *Broker) Name() string { return kind }

// String returns name and address.
func (b *Broker) String() string { return b.Name() + " broker at " + b.Address() }

// Options returns the generic options. The addresses do not contain user names and
// passwords.
func (b *Broker) Options() broker.Options {
	b.optionsMu.RLock()
	defer b.optionsMu.RUnlock()
	o := b.options
	o.Addrs = slices.Clone(o.Addrs)
	return o
}

// Address returns the broker URLs, joined by commas, without user names and passwords.
func (b *Broker) Address() string { return strings.Join(b.Options().Addrs, ",") }

// Format writes the addresses only, whatever the verb, because a broker has secrets.
func (b *Broker) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "mqtt broker at "+b.Address()) }

// Init applies more options on top of the current ones, and returns all errors of all
// options. It is an error while connected. Subscriptions are kept.
func (b *Broker) Init(opts ...broker.Option) error {
	if f := b.now.Load(); f.running() { // not after waiting for Start
		return errRunning()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	f := b.now.Load()
	switch {
	case f.running():
		return errRunning()
	case f == nil || len(opts) > 0:
		b.apply(opts)
		f = b.resolve()
	}
	return f.err
}

func errRunning() error { return client.BadRequest("init", "", "cannot init while connected") }

func (f *front) running() bool { return f != nil && f.client != nil && !f.client.Stopped() }

// Connect is Start with a context that has no deadline: the first attempt ends after
// the connect timeout. The contexts of handlers have the values of
// broker.WithOptionContext.
func (b *Broker) Connect() error {
	ctx := b.Options().Context
	if ctx == nil {
		ctx = context.Background()
	}
	return b.Start(context.WithoutCancel(ctx))
}

// Start connects and subscribes, and keeps the connection until Stop. A broker that is
// down is not an error, unless fail-fast is set: the connection is retried in the
// background. Invalid settings, a refused login and a refused filter are errors. While
// connected it does nothing. ctx bounds the first attempt, and the contexts of handlers
// have its values; its end after the first attempt has no effect.
func (b *Broker) Start(ctx context.Context) error {
	if ctx == nil {
		return client.BadRequest("connect", "", "context is nil")
	}
	c, done, err := b.settled() // no other client may take over the subscriptions meanwhile
	if err != nil {
		return err
	}
	defer done()
	if err := c.NameService(client.ApplicationName(kratos.FromContext(ctx))); err != nil {
		return err
	}
	return c.Start(ctx)
}

// Disconnect is Stop with a limit of 10 s.
func (b *Broker) Disconnect() error { return b.Stop(context.Background()) }

// Stop stops receiving, waits for running handlers, acknowledgements and publishes, and
// sends DISCONNECT. It takes until ctx ends at most, or 10 s if ctx has no deadline.
// Messages whose handlers have not finished stay unacknowledged, and pending publishes
// fail with MayHaveBeenSent. Subscriptions stay registered for the next start. Before
// the first start, and when called again, it does nothing.
func (b *Broker) Stop(ctx context.Context) error {
	if ctx == nil {
		return client.BadRequest("disconnect", "", "context is nil")
	}
	if f := b.now.Load(); f != nil && f.client != nil { // else nothing was ever started
		return f.client.Stop(ctx)
	}
	return nil
}

// Reload applies a changed configuration without a restart: user name, password, TLS files, the
// concurrency of handlers and of subscriptions, breakers, how handlers and publishes are
// retried, and their time limits. Sessions that the broker keeps are then connected anew with a
// changed login, and no message is lost. Messages that are being retried finish as before,
// parked ones follow the new policy from their next attempt on. What a section leaves unset has
// its default; sections that the broker was not made from are ignored.
//
// If a changed value is invalid, nothing is applied and all problems are returned. A setting
// that is used after a restart only is an [event.SettingError] with the cause
// [event.ErrNeedsRestart]; all others have been applied. A later call with the same
// configuration returns nil.
func (b *Broker) Reload(c *v1.Settings) error {
	now, done, err := b.settled()
	if err != nil {
		return err
	}
	defer done()
	return now.Reload(c)
}

// WaitReady returns nil once the broker is connected with every filter granted, and an
// error if ctx ends first. It may be called before Start.
func (b *Broker) WaitReady(ctx context.Context) error { return b.of().WaitReady(ctx) }

// Health returns a snapshot for readiness probes and metrics. It never waits.
func (b *Broker) Health() event.Health { return b.of().Health() }

// Filters returns the topic filters of all subscriptions, with the QoS that was asked for and the
// one that the broker granted. Before Start there are none. It never waits.
func (b *Broker) Filters() []event.FilterHealth { return b.of().Filters() }
