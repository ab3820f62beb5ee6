package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// scope is the name of the instrumentation.
const scope = "github.com/kratos-mqtt/kratos-mqtt"

// Spans begins the spans of publishes and handlers. Safe for concurrent use; nil begins none.
type Spans struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	system     []attribute.KeyValue
	sends      sync.Map   // template, of which code has few, to *spanStart
	relayed    *spanStart // of messages of an outbox, which has no templates
}

// spanStart is what spans of one kind and destination have in common. They have it when they
// start, so that samplers see it, and it is made once.
type spanStart struct {
	name    string
	options []trace.SpanStartOption
}

// NewSpans returns the spans of a provider; nil returns nil. propagator may be nil, which
// means W3C trace context and baggage. The error reports one that cannot be used, which would
// otherwise only fail when it is.
func NewSpans(provider trace.TracerProvider, propagator propagation.TextMapPropagator) (s *Spans, err error) {
	if provider == nil {
		return nil, nil
	}
	if propagator == nil {
		propagator = W3C()
	}
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("the propagator cannot be used: %v", r)
		}
	}()
	propagator.Inject(context.Background(), propagation.MapCarrier{})
	s = &Spans{
		tracer:     provider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: propagator, system: semconv.Systems(os.Getenv(semconv.OptIn)),
	}
	s.relayed = s.start(trace.SpanKindClient, semconv.Send, "")
	return s, nil
}

// W3C returns the propagator of trace context and baggage that is the default.
func W3C() propagation.TextMapPropagator {
	return propagation.NewCompositeTextMapPropagator(propagation.Baggage{}, propagation.TraceContext{})
}

func (s *Spans) start(kind trace.SpanKind, operation, destination string, more ...attribute.KeyValue) *spanStart {
	attributes := slices.Concat(s.system, semconv.Operation(operation), more)
	return &spanStart{
		name:    semconv.SpanName(operation, destination),
		options: []trace.SpanStartOption{trace.WithSpanKind(kind), trace.WithAttributes(attributes...)},
	}
}

// with returns the options and further ones.
func (s *spanStart) with(more ...trace.SpanStartOption) []trace.SpanStartOption {
	return append(slices.Clip(s.options), more...)
}

// Send begins the span of a publish, whose context is sent with the message. [EndSpan] ends
// it.
func (s *Spans) Send(ctx context.Context, m *Outgoing) (context.Context, trace.Span) {
	if s == nil {
		return ctx, nil
	}
	start := s.sending(m.Template)
	ctx, span := s.begin(ctx, start.name, start.options)
	if m.MessageID != "" && span.IsRecording() {
		span.SetAttributes(semconv.MessageID.String(m.MessageID))
	}
	carrier := m.TraceContext()
	s.propagator.Inject(ctx, carrier)
	m.Trace(carrier)
	return ctx, span
}

// sending returns what the spans of publishes with a template have in common.
func (s *Spans) sending(template string) *spanStart {
	known, ok := s.sends.Load(template)
	if !ok {
		var to []attribute.KeyValue
		if template != "" {
			to = append(to, semconv.Template.String(template))
		}
		known, _ = s.sends.LoadOrStore(template, s.start(trace.SpanKindProducer, semconv.Send, template, to...))
	}
	return known.(*spanStart) //nolint:forcetypeassert // nothing else is stored
}

func (s *Spans) begin(ctx context.Context, name string, options []trace.SpanStartOption) (context.Context, trace.Span) {
	return s.tracer.Start(ctx, name, options...) //nolint:spancheck // EndSpan ends it
}

// relay begins the span of an attempt to send a message of an outbox. It is a child of the
// publish that the outbox took: its context is in the header.
func (s *Spans) relay(ctx context.Context, header []UserProperty, id string) (context.Context, trace.Span) {
	from := trace.SpanContextFromContext(s.propagator.Extract(context.Background(), envelope.Carrier(header)))
	ctx, span := s.begin(trace.ContextWithSpanContext(ctx, from), s.relayed.name, s.relayed.options)
	if span.IsRecording() {
		span.SetAttributes(semconv.MessageID.String(id))
	}
	return ctx, span
}

// EndSpan ends a span with the outcome of its work. It does nothing for nil.
func EndSpan(span trace.Span, err error) {
	if span == nil || !span.IsRecording() {
		return
	}
	if err != nil {
		span.SetAttributes(semconv.Failure(err)...)
		span.SetStatus(codes.Error, err.Error())
	}
	span.End()
}

// processing begins the spans of the handler of one subscription.
type processing struct {
	*Spans
	start *spanStart
}

// of returns the spans of a subscription's handler, or nil.
func (s *Spans) of(filter string, t *Typed) *processing {
	if s == nil {
		return nil
	}
	return &processing{s, s.start(trace.SpanKindConsumer, semconv.Process, semconv.Destination(filter, t.Template),
		semconv.Subscription(filter, t.Template, t.Operation)...)}
}

// one begins the span of a handler that is called with one message. If its sender is
// trusted, the publish is the parent. Otherwise the span is the root of a new trace, which
// the local sampler decides about, with a link to the publish: an untrusted publisher must
// not choose what is recorded, nor in which trace.
func (p *processing) one(ctx context.Context, d *Delivery) (context.Context, trace.Span) {
	if d.Trusted() {
		ctx = p.propagator.Extract(ctx, envelope.Carrier(d.Header()))
		return p.begin(ctx, p.start.name, p.start.options)
	}
	var links []trace.Link
	if from := p.publish(d); from.IsValid() {
		links = append(links, trace.Link{SpanContext: from})
	}
	return p.root(ctx, links)
}

// many begins the span of a handler that is called with a batch. Its messages may be of many
// traces, so it is linked to each publish, and none of them is the parent, unless there is
// only one.
func (p *processing) many(ctx context.Context, ds []*Delivery) (context.Context, trace.Span) {
	count := trace.WithAttributes(semconv.BatchCount.Int(len(ds)))
	if len(ds) == 1 && ds[0].Trusted() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, p.publish(ds[0]))
		return p.begin(ctx, p.start.name, p.start.with(count))
	}
	var links []trace.Link
	for _, d := range ds {
		if from := p.publish(d); from.IsValid() {
			links = append(links, trace.Link{SpanContext: from})
		}
	}
	return p.root(ctx, links, count)
}

// root begins a span without a parent.
func (p *processing) root(ctx context.Context, links []trace.Link, more ...trace.SpanStartOption) (context.Context, trace.Span) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		more = append(more, trace.WithNewRoot())
	}
	if len(links) > 0 {
		more = append(more, trace.WithLinks(links...))
	}
	options := p.start.options
	if len(more) > 0 {
		options = p.start.with(more...)
	}
	return p.begin(ctx, p.start.name, options)
}

// publish returns the place of a publish in its trace, without its baggage.
func (p *processing) publish(d *Delivery) trace.SpanContext {
	header := d.Header()
	if len(header) == 0 {
		return trace.SpanContext{}
	}
	return trace.SpanContextFromContext(p.propagator.Extract(context.Background(), envelope.Carrier(header)))
}

// errUnfinished ends the span of a handler that panicked or ended its goroutine.
var errUnfinished = errors.New("the handler did not return")
