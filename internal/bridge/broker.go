package bridge

import (
	"context"
	"strings"
	"sync"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// Broker is kratos-transport's broker.Broker on the engine. All methods are
// safe for concurrent use.
type Broker struct {
	mu       sync.Mutex
	options  broker.Options
	settings Settings
	client   *engine.Client // nil until first used after Init
	err      error          // why there is none
	tracer   tracer
	headers  headerNotice
	once     sync.Once // logs ignored options
}

var _ broker.Broker = (*Broker)(nil)

// New never fails and never returns nil: problems of the options are returned
// by the first method that can.
func New(opts ...broker.Option) *Broker {
	b := &Broker{options: broker.NewOptions()}
	b.apply(opts...)
	return b
}

func (b *Broker) apply(opts ...broker.Option) {
	for _, o := range opts {
		if o != nil {
			o(&b.options)
		}
	}
	b.settings = settingsOf(&b.options)
	b.client, b.err = nil, nil
	b.tracer = newTracer(b.options.Tracings)
}

// Name is "mqtt".
func (b *Broker) Name() string { return "mqtt" }

// Options gives the generic options. Credentials are taken out of the
// addresses.
func (b *Broker) Options() broker.Options {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.options
}

// Address joins the broker URLs, without credentials.
func (b *Broker) Address() string { return strings.Join(b.Options().Addrs, ",") }

// Init applies more options. It is an error while connected, and reports every
// problem of the options.
func (b *Broker) Init(opts ...broker.Option) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client != nil && b.client.Running() {
		return badRequest("init", "", "cannot init while connected")
	}
	old := b.client
	if len(opts) > 0 || old == nil {
		b.apply(opts...)
	}
	if b.client == nil {
		return b.open(old)
	}
	return nil
}

// Connect starts the connection and keeps it until Disconnect. A broker that
// is down is tried again in the background and no error, unless fail-fast is
// set; settings that cannot work, a refused login and a refused filter are.
func (b *Broker) Connect() error { return b.Start(context.Background()) }

// Start is Connect with a context that bounds the first attempt.
func (b *Broker) Start(ctx context.Context) error {
	client, err := b.Client()
	if err != nil {
		return err
	}
	return public(client.Start(ctx))
}

// Disconnect drains for up to 10 s and says DISCONNECT. Subscriptions stay
// registered for the next Connect.
func (b *Broker) Disconnect() error { return b.Stop(context.Background()) }

// Stop is Disconnect with a context that bounds the drain.
func (b *Broker) Stop(ctx context.Context) error {
	b.mu.Lock()
	client := b.client
	b.mu.Unlock()
	if client == nil {
		return nil
	}
	return public(client.Stop(ctx))
}

// WaitReady returns nil once connected with every filter granted.
func (b *Broker) WaitReady(ctx context.Context) error {
	client, err := b.Client()
	if err != nil {
		return err
	}
	return public(client.WaitReady(ctx))
}

// Client gives the engine's client, made when first asked for.
func (b *Broker) Client() (*engine.Client, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.client == nil && b.err == nil {
		b.err = b.open(nil)
	}
	return b.client, b.err
}

// open makes the client; subscriptions move over from an old one.
func (b *Broker) open(old *engine.Client) error {
	if err := b.settings.err(); err != nil {
		return &event.Error{Op: "configure", Reason: event.ReasonBadRequest, Cause: err}
	}
	client, err := engine.NewClient(b.settings.Config, old)
	if err != nil {
		return public(err)
	}
	b.client = client
	b.once.Do(b.logIgnored)
	return nil
}

func (b *Broker) logIgnored() {
	for _, name := range b.settings.Ignored {
		b.logger().Infof("mqtt: option %s has no effect here", name)
	}
}

func (b *Broker) logger() *log.Helper {
	if l := b.settings.Config.Logger; l != nil {
		return log.NewHelper(l)
	}
	return log.NewHelper(log.GetLogger())
}

func (b *Broker) codecs() codecs { return codecs{b.options.Codec} }
