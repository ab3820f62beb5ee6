package bridge

import (
	"context"
	"slices"

	"github.com/tx7do/kratos-transport/tracing"
	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// tracer makes the spans of the OpenTelemetry messaging conventions when the
// tracing options of kratos-transport ask for them, and nothing otherwise.
type tracer struct {
	producer *tracing.Tracer
	consumer *tracing.Tracer
}

// newTracer makes spans when trace is set, with OpenTelemetry's global
// provider, or when there are generic options, with theirs.
func newTracer(trace bool, generic, more []tracing.Option) tracer {
	if !trace && len(generic) == 0 {
		return tracer{}
	}
	opts := slices.Concat(generic, more)
	// Names without a destination: a device's topic is of unbounded cardinality.
	return tracer{
		producer: tracing.NewTracer(oteltrace.SpanKindProducer, "send", opts...),
		consumer: tracing.NewTracer(oteltrace.SpanKindConsumer, "process", opts...),
	}
}

// send starts the span of a publish, whose context goes with the message; end
// finishes it.
func (t tracer) send(ctx context.Context, d *draft) (_ context.Context, end func(error)) {
	if t.producer == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.producer.Start(ctx, draftCarrier{d},
		attribute.String("messaging.system", "mqtt"),
		attribute.String("messaging.operation.name", "send"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.destination.name", d.msg.Topic),
	)
	return ctx, func(err error) { t.producer.End(ctx, span, err) }
}

// process starts the span of one attempt of a handler, whose parent is the
// publish when the message has its context.
func (t tracer) process(ctx context.Context, e *Event) (_ context.Context, end func(error)) {
	if t.consumer == nil {
		return ctx, func(error) {}
	}
	d := e.delivery
	ctx, span := t.consumer.Start(ctx, incomingCarrier(e.header),
		attribute.String("messaging.system", "mqtt"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.template", d.Subscription().Filter),
		attribute.String("messaging.destination.name", d.Topic),
	)
	return ctx, func(err error) { t.consumer.End(ctx, span, err) }
}
