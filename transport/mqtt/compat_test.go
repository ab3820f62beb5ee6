package mqtt_test

import (
	"context"
	"crypto/tls"
	"net/url"
	"testing"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/transport"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// The server has everything that users find in kratos-transport's package of the same
// name, with the same signatures. The methods of the embedded broker are decided one by
// one: the server has Publish, Request, Subscribe, Address and Name. It has no Init,
// Connect and Disconnect, because users must not call them on a running server.
var (
	_ func(...mqtt.ServerOption) *mqtt.Server = mqtt.NewServer

	_ func(...broker.Option) mqtt.ServerOption              = mqtt.WithBrokerOptions
	_ func([]string) mqtt.ServerOption                      = mqtt.WithAddress
	_ func(*tls.Config) mqtt.ServerOption                   = mqtt.WithTLSConfig
	_ func(bool) mqtt.ServerOption                          = mqtt.WithCleanSession
	_ func(string, string) mqtt.ServerOption                = mqtt.WithAuth
	_ func(string) mqtt.ServerOption                        = mqtt.WithClientId
	_ func(string) mqtt.ServerOption                        = mqtt.WithCodec
	_ func(bool) mqtt.ServerOption                          = mqtt.WithEnableKeepAlive
	_ func(func()) mqtt.ServerOption                        = mqtt.WithOnConnect
	_ func(func(error)) mqtt.ServerOption                   = mqtt.WithOnDisconnect
	_ func(trace.TracerProvider) mqtt.ServerOption          = mqtt.WithTracerProvider
	_ func(propagation.TextMapPropagator) mqtt.ServerOption = mqtt.WithPropagator
	_ func() mqtt.ServerOption                              = mqtt.WithGlobalTracerProvider
	_ func() mqtt.ServerOption                              = mqtt.WithGlobalPropagator

	_ func(*mqtt.Server, context.Context, string, func(context.Context, string, broker.Headers, *reading) error, ...broker.SubscribeOption) error = mqtt.RegisterSubscriber[reading]

	_ string         = mqtt.KindMQTT
	_ transport.Kind = mqtt.KindMQTT
)

var _ interface {
	Name() string
	Start(context.Context) error
	Stop(context.Context) error
	Endpoint() (*url.URL, error)
	Address() string
	RegisterSubscriber(context.Context, string, broker.Handler, broker.Binder, ...broker.SubscribeOption) error
	Subscribe(string, broker.Handler, broker.Binder, ...broker.SubscribeOption) (broker.Subscriber, error)
	Publish(context.Context, string, *broker.Message, ...broker.PublishOption) error
	Request(context.Context, string, *broker.Message, ...broker.RequestOption) (*broker.Message, error)
} = (*mqtt.Server)(nil)

// A server layer that was written for kratos-transport works in a Kratos app.
func TestCodeForKratosTransport(t *testing.T) {
	ctx := context.Background()
	srv := mqtt.NewServer(
		mqtt.WithAddress([]string{mqtttest.InProcess(t).URL()}),
		mqtt.WithCodec("json"),
		mqtt.WithGlobalTracerProvider(),
		mqtt.WithGlobalPropagator(),
		mqtt.WithEnableKeepAlive(true),
	)
	handled, replied := make(chan reading, 1), make(chan string, 1)
	err := mqtt.RegisterSubscriber(srv, ctx, "logger/sensor/+",
		func(ctx context.Context, _ string, _ broker.Headers, msg *reading) error {
			handled <- *msg
			return srv.Publish(ctx, "alerts/hot", broker.NewMessage(msg)) // full duplex
		})
	if err != nil {
		t.Fatal(err)
	}
	if err := mqtt.RegisterSubscriber(srv, ctx, "alerts/+", into(replied)); err != nil {
		t.Fatal(err)
	}
	started := make(chan struct{})
	app := kratos.New(kratos.Name("compat"), kratos.Server(srv),
		kratos.AfterStart(func(context.Context) error { close(started); return nil }))
	done := make(chan error, 1)
	go func() { done <- app.Run() }()
	receive(t, started)
	if err := srv.WaitReady(within(t, patience)); err != nil {
		t.Fatalf("%v; the app: %v", err, receive(t, done))
	}
	publish(t, srv, "logger/sensor/ts")
	if r := receive(t, handled); r.Celsius != 21.5 {
		t.Errorf("got %+v", r)
	}
	if topic := receive(t, replied); topic != "alerts/hot" {
		t.Errorf("topic %q", topic)
	}
	if err := app.Stop(); err != nil {
		t.Error(err)
	}
	if err := receive(t, done); err != nil {
		t.Error(err)
	}
}

// Code that needs kratos-transport's interface gets a broker that cannot connect or
// disconnect the server.
func TestServerAsBroker(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL())
	start(t, srv)
	b := srv.Broker()
	for name, err := range map[string]error{"init": b.Init(), "connect": b.Connect(), "disconnect": b.Disconnect()} {
		t.Run(name, func(t *testing.T) { wantReason(t, err, event.ReasonBadRequest, 400) })
	}
	got := make(chan bool, 1)
	_, err := broker.Subscribe(b, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		_, ok := mqtt.FromContext(ctx)
		got <- ok
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(within(t, patience), "a", broker.NewMessage(reading{})); err != nil {
		t.Fatal(err)
	}
	if !receive(t, got) {
		t.Error("no transport in the handler's context")
	}
	if _, err := b.Request(t.Context(), "a", broker.NewMessage(reading{})); err == nil {
		t.Error("Request: no error")
	} else {
		wantReason(t, err, event.ReasonUnsupported, 501)
	}
}
