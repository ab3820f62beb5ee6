package mqtt

import (
	"context"
	"fmt"
	"slices"

	"github.com/tx7do/kratos-transport/tracing"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/propagation"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// tracer makes the spans of the OpenTelemetry messaging conventions if the tracing
// options of kratos-transport are used, otherwise none.
type tracer struct {
	producer *tracing.Tracer
	consumer *tracing.Tracer
	links    propagation.TextMapPropagator // reads what a span is linked to
}

// newTracer returns a tracer that makes spans with OpenTelemetry's global provider if
// trace is set, or with the provider of the generic options if there are any.
// propagator may be nil: kratos-transport's options do not expose theirs, so links are
// then read in W3C format, as the convention for MQTT 5 specifies.
func newTracer(trace bool, generic []tracing.Option, propagator func() propagation.TextMapPropagator) tracer {
	if !trace && len(generic) == 0 {
		return tracer{}
	}
	t := tracer{links: propagation.TraceContext{}}
	opts := slices.Clone(generic)
	if propagator != nil {
		t.links = propagator()
		opts = append(opts, tracing.WithPropagator(t.links))
	}
	// Names without a destination: a device's topic is of unbounded cardinality.
	t.producer = tracing.NewTracer(oteltrace.SpanKindProducer, "send", opts...)
	t.consumer = tracing.NewTracer(oteltrace.SpanKindConsumer, "process", opts...)
	return t
}

// check reports an unusable propagator, such as nil in kratos-transport's option, which
// would otherwise only fail when used. It makes no span.
func (t tracer) check() (err error) {
	if t.producer == nil {
		return nil
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the propagator cannot be used: %v", r)
		}
	}()
	t.producer.Inject(context.Background(), propagation.MapCarrier{})
	return nil
}

// send starts the span of a publish, whose context is sent with the message; end
// finishes it.
func (t tracer) send(ctx context.Context, m *envelope.Message) (_ context.Context, end func(error)) {
	if t.producer == nil {
		return ctx, func(error) {}
	}
	ctx, span := t.producer.Start(ctx, m.Carrier(),
		attribute.String("messaging.system", "mqtt"),
		attribute.String("messaging.operation.name", "send"),
		attribute.String("messaging.operation.type", "send"),
		attribute.String("messaging.destination.name", m.Topic),
	)
	return ctx, func(err error) { t.producer.End(ctx, span, err) }
}

// span returns the function that starts the span of one handler call, or nil without
// tracing. If the sender of a single message is trusted, its publish is the parent.
// Otherwise the span is the root of a new trace, which the local sampler decides about,
// with a link to each publish: an untrusted publisher must not choose what is recorded,
// nor in which trace. The messages of a batch may be of many traces, so none of them is
// the parent.
func (t tracer) span() func(context.Context, []*client.Delivery, bool) (context.Context, func(error)) {
	if t.consumer == nil {
		return nil
	}
	return func(ctx context.Context, ds []*client.Delivery, batch bool) (context.Context, func(error)) {
		switch {
		case batch:
			return t.root(ctx, ds, attribute.Int("messaging.batch.message_count", len(ds)))
		case ds[0].Trusted:
			return t.start(ctx, envelope.Carrier(ds[0].Header()), ds[0])
		}
		return t.root(ctx, ds)
	}
}

// root starts a span without a parent that is linked to the publishes.
func (t tracer) root(ctx context.Context, ds []*client.Delivery, more ...attribute.KeyValue) (context.Context, func(error)) {
	ctx, end := t.start(oteltrace.ContextWithSpanContext(ctx, oteltrace.SpanContext{}), envelope.Carrier(nil), ds[0], more...)
	span := oteltrace.SpanFromContext(ctx)
	for _, d := range ds {
		// Only the place in a trace is taken from it, no baggage.
		from := oteltrace.SpanContextFromContext(t.links.Extract(context.Background(), envelope.Carrier(d.Header())))
		if from.IsValid() {
			span.AddLink(oteltrace.Link{SpanContext: from})
		}
	}
	return ctx, end
}

func (t tracer) start(ctx context.Context, from envelope.Carrier, d *client.Delivery, more ...attribute.KeyValue) (context.Context, func(error)) {
	ctx, span := t.consumer.Start(ctx, from, append(more,
		attribute.String("messaging.system", "mqtt"),
		attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.operation.type", "process"),
		attribute.String("messaging.destination.template", d.Subscription().Filter),
		attribute.String("messaging.destination.name", d.Topic),
	)...)
	return ctx, func(err error) { t.consumer.End(ctx, span, err) }
}
