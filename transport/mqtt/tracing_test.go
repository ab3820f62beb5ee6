package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// spansOf publishes to a server with these options, whose handler fails at the first
// attempt, and returns the spans. kratos-transport's tracing sets the global provider,
// so these tests do not run in parallel.
func spansOf(t *testing.T, exporter *tracetest.InMemoryExporter, opts ...mqttserver.ServerOption) tracetest.SpanStubs {
	t.Helper()
	srv, _ := server(t, mqtttest.InProcess(t).URL(), opts...)
	done := make(chan bool, 1)
	register(t, srv, "devices/+/data", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		tr, _ := mqttserver.FromContext(ctx)
		if tr.Attempt() == 1 {
			return errors.New("at first")
		}
		done <- trace.SpanContextFromContext(ctx).IsValid()
		return nil
	})
	start(t, srv)
	publish(t, srv, "devices/1/data")
	inside := receive(t, done)
	publish(t, srv, "nobody/asks", broker.WithPublishAsync(nil))
	_ = srv.Publish(t.Context(), "bad/#", broker.NewMessage(reading{}), broker.WithPublishAsync(nil))
	if err := srv.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	spans := exporter.GetSpans()
	exporter.Reset()
	if inside != (len(spans) > 0) {
		t.Errorf("a span in the handler's context: %t, spans: %d", inside, len(spans))
	}
	return spans
}

func attributes(s tracetest.SpanStub) map[attribute.Key]string {
	m := make(map[attribute.Key]string)
	for _, a := range s.Attributes {
		m[a.Key] = a.Value.String()
	}
	return m
}

func TestSpans(t *testing.T) {
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	otel.SetTracerProvider(provider)

	t.Run("nobody asked", func(t *testing.T) {
		if spans := spansOf(t, exporter); len(spans) > 0 {
			t.Errorf("%d spans", len(spans))
		}
	})
	t.Run("propagator only", func(t *testing.T) {
		spans := spansOf(t, exporter, mqttserver.WithGlobalPropagator(), mqttserver.WithPropagator(propagation.TraceContext{}))
		if len(spans) > 0 {
			t.Errorf("%d spans", len(spans))
		}
	})
	for name, opts := range map[string][]mqttserver.ServerOption{
		"global provider": {mqttserver.WithGlobalTracerProvider(), mqttserver.WithGlobalPropagator()},
		"own provider":    {mqttserver.WithTracerProvider(provider)},
		"generic option":  {mqttserver.WithBrokerOptions(broker.WithGlobalTracerProvider())},
	} {
		t.Run(name, func(t *testing.T) { checkSpans(t, spansOf(t, exporter, opts...)) })
	}
}

func checkSpans(t *testing.T, spans tracetest.SpanStubs) {
	t.Helper()
	var sends, refused, failed, processed int
	for _, s := range spans {
		a := attributes(s)
		if a["messaging.system.name"] != "mqtt" || !strings.HasPrefix(s.Name, a["messaging.operation.name"]) || a["messaging.destination.name"] != "" {
			t.Errorf("%s: attributes %v", s.Name, a)
		}
		if (s.Status.Code == codes.Error) != (a["error.type"] != "") {
			t.Errorf("%s: status %v, attributes %v", s.Name, s.Status, a)
		}
		switch {
		case s.Name == "send" && s.SpanKind == trace.SpanKindProducer:
			sends++
			if s.Status.Code == codes.Error {
				refused++
			}
		case s.Name == "process devices/+/data" && s.SpanKind == trace.SpanKindConsumer:
			if a["messaging.destination.template"] != "devices/+/data" {
				t.Errorf("process: attributes %v", a)
			}
			if s.Status.Code == codes.Error {
				failed++
			} else {
				processed++
			}
		default:
			t.Errorf("span %s of kind %v", s.Name, s.SpanKind)
		}
	}
	if sends != 3 || refused != 1 || failed != 1 || processed != 1 {
		t.Errorf("%d send, %d failed and %d good process spans; want 3, 1 and 1", sends, failed, processed)
	}
}
