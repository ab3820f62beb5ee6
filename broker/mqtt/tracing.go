package mqtt

import (
	"context"
	"fmt"
	"maps"

	"github.com/tx7do/kratos-transport/tracing"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// newSpans returns the spans that the settings ask for, or else kratos-transport's generic
// options; nil if neither does. A provider of the generic options becomes OpenTelemetry's
// global one, as in kratos-transport: they can be read in no other way.
func newSpans(s *client.Settings, options []tracing.Option) (spans *client.Spans, err error) {
	defer func() { // a propagator that is a nil pointer, for example
		if r := recover(); r != nil {
			err = fmt.Errorf("the propagator cannot be used: %v", r)
		}
	}()
	var provider oteltrace.TracerProvider
	var propagator propagation.TextMapPropagator
	if len(options) > 0 {
		t := tracing.NewTracer(oteltrace.SpanKindProducer, semconv.Send, options...)
		provider, propagator = otel.GetTracerProvider(), propagatorOf(t)
	}
	if s.TracerProvider != nil {
		provider = s.TracerProvider()
	}
	if s.Propagator != nil {
		propagator = s.Propagator()
	}
	return client.NewSpans(provider, propagator)
}

// propagatorOf returns the propagator of kratos-transport's options. They expose only how it
// writes, so it reads by the usual one that writes the same, and W3C without one.
func propagatorOf(t *tracing.Tracer) propagation.TextMapPropagator {
	written := injected(t)
	for _, p := range []propagation.TextMapPropagator{client.W3C(), propagation.TraceContext{}, otel.GetTextMapPropagator()} {
		if maps.Equal(written, injected(p)) {
			return writer{p, t}
		}
	}
	return writer{client.W3C(), t}
}

type injector interface {
	Inject(ctx context.Context, carrier propagation.TextMapCarrier)
}

// injected returns the headers of a context that has everything a propagator may look for.
func injected(p injector) propagation.MapCarrier {
	member, _ := baggage.NewMember("a", "b") // are valid
	bag, _ := baggage.New(member)
	state, _ := oteltrace.ParseTraceState("a=b")
	ctx := baggage.ContextWithBaggage(oteltrace.ContextWithSpanContext(context.Background(), oteltrace.NewSpanContext(oteltrace.SpanContextConfig{
		TraceID: oteltrace.TraceID{1}, SpanID: oteltrace.SpanID{1}, TraceFlags: oteltrace.FlagsSampled, TraceState: state,
	})), bag)
	c := make(propagation.MapCarrier)
	p.Inject(ctx, c)
	return c
}

// writer injects by the options of kratos-transport.
type writer struct {
	propagation.TextMapPropagator
	injector
}

// Inject implements propagation.TextMapPropagator.
func (w writer) Inject(ctx context.Context, carrier propagation.TextMapCarrier) {
	w.injector.Inject(ctx, carrier)
}
