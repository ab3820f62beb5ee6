package mqtt_test

import (
	"context"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// spanned is a dedup window that notes the span in which it is asked.
type spanned struct {
	dedup.Window
	asked chan trace.SpanContext
}

func (w spanned) Once(ctx context.Context, id string, effect func(context.Context) error) (bool, error) {
	w.asked <- trace.SpanContextFromContext(ctx)
	return w.Window.Once(ctx, id, effect)
}

// The statements of a dedup window in SQL, which begin before the handler and end after it,
// had no span as parent: those of a transaction that takes long could not be seen.
func TestTheDedupWindowIsAskedWithinTheSpan(t *testing.T) {
	provider, exporter := tracedBy(t, sdktrace.AlwaysSample())
	memory, err := dedup.NewMemory(dedup.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	window := spanned{memory, make(chan trace.SpanContext, 2)}
	srv, _ := server(t, mqtttest.Mosquitto(t).URL(), mqttserver.WithTracerProvider(provider),
		mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(window)))
	handled := make(chan trace.SpanContext, 2)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		handled <- trace.SpanContextFromContext(ctx)
		return nil
	})
	start(t, srv)
	for range 2 {
		if err := srv.Publish(within(t, patience), "a", broker.NewMessage(reading{}), mqttbroker.WithCallOptions(event.ID("1"))); err != nil {
			t.Fatal(err)
		}
	}
	first, second, inside := receive(t, window.asked), receive(t, window.asked), receive(t, handled)
	if err := srv.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if !first.IsValid() || first.SpanID() != inside.SpanID() || second.SpanID() == first.SpanID() {
		t.Errorf("the window was asked in the spans %v and %v, the handler called in %v", first.SpanID(), second.SpanID(), inside.SpanID())
	}
	for _, s := range exporter.GetSpans() {
		if id := s.SpanContext.SpanID(); id == second.SpanID() && (len(s.Events) != 1 || s.Events[0].Name != "kratosmqtt.duplicate") || id == first.SpanID() && len(s.Events) > 0 {
			t.Errorf("events of the span of attempt %v: %v", id, s.Events)
		}
	}
}

// The span of a handler that panicked was never ended, so it was missing.
func TestTheSpanOfAPanicEnds(t *testing.T) {
	provider, exporter := tracedBy(t, sdktrace.AlwaysSample())
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithTracerProvider(provider))
	done := make(chan bool, 1)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		if tr, _ := mqttserver.FromContext(ctx); tr.Attempt() == 1 {
			panic("at first")
		}
		done <- true
		return nil
	})
	start(t, srv)
	publish(t, srv, "a")
	receive(t, done)
	if err := srv.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for _, s := range exporter.GetSpans() {
		if s.SpanKind == trace.SpanKindConsumer && s.Status.Code == codes.Error {
			failed++
		}
	}
	if failed != 1 {
		t.Errorf("%d failed spans, want 1", failed)
	}
}

// seeing is a sampler that notes what it sees and records nothing.
type seeing struct {
	seen chan sdktrace.SamplingParameters
}

func (s seeing) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.seen <- p
	return sdktrace.SamplingResult{Decision: sdktrace.Drop}
}

func (s seeing) Description() string { return "seeing" }

// A sampler saw the operation only: the destination became part of the name, and links were
// added, after the start of the span.
func TestASamplerSeesNamesAttributesAndLinks(t *testing.T) {
	t.Parallel()
	global := otel.GetTracerProvider()
	s := seeing{make(chan sdktrace.SamplingParameters, 2)}
	srv, _ := server(t, mqtttest.Mosquitto(t).URL(), mqttserver.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(s))),
		mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5")))
	done := make(chan string, 1)
	register(t, srv, "$share/g/a/+", into(done))
	start(t, srv)
	publish(t, srv, "a/1")
	send, process := receive(t, s.seen), receive(t, s.seen)
	receive(t, done)
	if send.Name != "send" || send.Kind != trace.SpanKindProducer || len(send.Attributes) < 3 {
		t.Errorf("a publish: %+v", send)
	}
	var group string
	for _, a := range process.Attributes {
		if a.Key == "messaging.consumer.group.name" {
			group = a.Value.AsString()
		}
	}
	if process.Name != "process a/+" || process.Kind != trace.SpanKindConsumer || group != "g" || len(process.Links) != 1 || process.Links[0].SpanContext.TraceID() != send.TraceID {
		t.Errorf("a handler: %+v", process)
	}
	if otel.GetTracerProvider() != global {
		t.Error("the global provider is another one")
	}
}
