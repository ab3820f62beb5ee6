package mqtt_test

import (
	"context"
	"testing"

	"github.com/go-kratos/kratos/v2/metadata"
	kmetadata "github.com/go-kratos/kratos/v2/middleware/metadata"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// If the message can carry trace context, the span of a handler is a child of the
// publish of a trusted sender. kratos-transport's tracing sets the global provider, so
// these tests do not run in parallel.
func TestTraceContextTravels(t *testing.T) {
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	events := mqttserver.WithBrokerOptions(mqttbroker.WithCloudEvents("/s"))
	tests := map[string]struct {
		broker  mqtttest.Broker
		version string
		opts    []mqttserver.ServerOption
		travels bool
	}{
		"5":                         {mqtttest.Mosquitto(t), "5", nil, true},
		"5 in CloudEvents":          {mqtttest.Mosquitto(t), "5", []mqttserver.ServerOption{events}, true},
		"3.1.1 in CloudEvents":      {mqtttest.InProcess(t), "3.1.1", []mqttserver.ServerOption{events}, true},
		"3.1.1 has no place for it": {mqtttest.InProcess(t), "3.1.1", nil, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			exporter.Reset()
			srv, _ := server(t, tt.broker.URL(), append(tt.opts, mqttserver.WithTracerProvider(provider),
				mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(tt.version)))...)
			done := make(chan string, 1)
			register(t, srv, "a", into(done), mqttbroker.WithSubscribeTrustSender())
			start(t, srv)
			publish(t, srv, "a")
			receive(t, done)
			if err := srv.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			var send, process tracetest.SpanStub
			for _, s := range exporter.GetSpans() {
				if s.Name == "send" {
					send = s
				} else {
					process = s
				}
			}
			if got := process.Parent.SpanID() == send.SpanContext.SpanID(); got != tt.travels {
				t.Errorf("process is a child of send: %t, want %t", got, tt.travels)
			}
		})
	}
}

// On the server, Kratos' metadata middleware finds the metadata of a trusted
// publisher's context.
func TestKratosMetadataTravels(t *testing.T) {
	t.Parallel()
	c := carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), false}
	srv := c.server(t, mqttserver.Middleware(kmetadata.Server()))
	got := make(chan metadata.Metadata, 1)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		md, _ := metadata.FromServerContext(ctx)
		got <- md
		return nil
	}, mqttbroker.WithSubscribeTrustSender())
	start(t, srv)
	ctx := metadata.AppendToClientContext(within(t, patience), "x-md-global-tenant", "t")
	if err := srv.Publish(ctx, "a", broker.NewMessage(reading{})); err != nil {
		t.Fatal(err)
	}
	if md := receive(t, got); md.Get("x-md-global-tenant") != "t" {
		t.Errorf("got %v", md)
	}
}
