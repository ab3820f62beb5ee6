package mqtt_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	ktracing "github.com/go-kratos/kratos/v2/middleware/tracing"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

const forgedTrace = "4bf92f3577b34da6a3ce929d0e0e4736"

// forged is what a device sends about itself: a sampled trace, and baggage.
func forged(i int) []broker.PublishOption {
	return []broker.PublishOption{
		mqttbroker.WithCallOptions(event.Header("traceparent", fmt.Sprintf("00-%s-%016x-01", forgedTrace, i+1)),
			event.Header("baggage", "user=admin,tenant=victim")),
	}
}

// tracedBy returns a provider and restores the global one at the end of the test:
// kratos-transport's tracing sets it, so these tests do not run in parallel.
func tracedBy(t *testing.T, s sdktrace.Sampler) (*sdktrace.TracerProvider, *tracetest.InMemoryExporter) {
	t.Helper()
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithSampler(s))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	return provider, exporter
}

// A device could choose which of its messages are recorded and in which trace, and put
// baggage into the handler's context. Now only a sender that the operation trusts can.
func TestASenderDoesNotChooseTheTrace(t *testing.T) {
	const n = 10
	on, off := true, false
	texts := func(trust bool) *event.ServiceDesc {
		d := textService()
		d.Methods[0].TrustSender = trust
		return d
	}
	inConfiguration := func(name string, trust *bool) mqttserver.ServerOption {
		return mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Subscriptions: map[string]*v1.Subscription{name: {TrustSender: trust}}}))
	}
	const method = "/test.Texts/Tell"
	tests := map[string]struct {
		desc     *event.ServiceDesc // nil registers by hand
		server   []mqttserver.ServerOption
		register []event.RegisterOption
		byHand   []broker.SubscribeOption
		trusted  bool
	}{
		"by hand":                            {},
		"by hand, trusted":                   {byHand: []broker.SubscribeOption{mqttbroker.WithSubscribeTrustSender()}, trusted: true},
		"by hand, option of broker/mqtt":     {byHand: []broker.SubscribeOption{mqttbroker.WithSubscribeTrustSender()}, trusted: true},
		"by hand, configured":                {server: []mqttserver.ServerOption{inConfiguration("texts/+", &on)}, trusted: true},
		"by hand, not trusted by config":     {byHand: []broker.SubscribeOption{mqttbroker.WithSubscribeTrustSender()}, server: []mqttserver.ServerOption{inConfiguration("texts/+", &off)}},
		"generated":                          {desc: texts(false)},
		"generated, trusted in proto":        {desc: texts(true), trusted: true},
		"generated, trusted by registration": {desc: texts(false), register: []event.RegisterOption{event.TrustSender(true, "Tell")}, trusted: true},
		"generated, not by registration":     {desc: texts(true), register: []event.RegisterOption{event.TrustSender(false)}},
		"generated, not by configuration":    {desc: texts(true), server: []mqttserver.ServerOption{inConfiguration(method, &off)}},
	}
	url := mqtttest.Mosquitto(t).URL()
	sender := carrier{url, mqttbroker.WithProtocol("5"), false}.broker(t, broker.WithCodec(""))
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			provider, exporter := tracedBy(t, sdktrace.ParentBased(sdktrace.NeverSample()))
			srv := carrier{url, mqttbroker.WithProtocol("5"), false}.server(t,
				append(tt.server, mqttserver.WithTracerProvider(provider), mqttserver.WithCodec("proto"))...)
			type seen struct {
				trace   string
				baggage int
			}
			got := make(chan seen, n)
			see := func(ctx context.Context) {
				got <- seen{trace.SpanContextFromContext(ctx).TraceID().String(), baggage.FromContext(ctx).Len()}
			}
			if tt.desc == nil {
				err := srv.RegisterSubscriber(t.Context(), "texts/+", func(ctx context.Context, _ broker.Event) error {
					see(ctx)
					return nil
				}, nil, tt.byHand...)
				if err != nil {
					t.Fatal(err)
				}
			} else {
				h := eventimpl.NewHandler(&tt.desc.Methods[0], func(ctx context.Context, _ *wrapperspb.StringValue) (*emptypb.Empty, error) {
					see(ctx)
					return nil, nil
				}, bindText)
				srv.RegisterService(tt.desc, []event.Handler{h}, tt.register...)
			}
			start(t, srv)
			for i := range n {
				if err := sender.Publish(within(t, patience), "texts/a", broker.NewMessage([]byte{}), forged(i)...); err != nil {
					t.Fatal(err)
				}
			}
			for range n {
				s := receive(t, got)
				if in := s.trace == forgedTrace; in != tt.trusted || (s.baggage == 2) != tt.trusted || s.baggage > 0 != tt.trusted {
					t.Errorf("in the sender's trace: %t, with %d of its baggage; trusted: %t", in, s.baggage, tt.trusted)
				}
			}
			if err := srv.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			if k := len(exporter.GetSpans()); k != map[bool]int{true: n}[tt.trusted] {
				t.Errorf("%d spans are recorded, the service's sampler records none; trusted: %t", k, tt.trusted)
			}
		})
	}
}

// The span of a handler is a root with a link to the publish, even if the
// registration's context has a span. All further spans of the handler are below it:
// Kratos' tracing middleware takes nothing from the message either.
func TestProcessIsLinkedToSend(t *testing.T) {
	provider, exporter := tracedBy(t, sdktrace.AlwaysSample())
	url := mqtttest.Mosquitto(t).URL()
	srv := carrier{url, mqttbroker.WithProtocol("5"), false}.server(t,
		mqttserver.WithTracerProvider(provider), mqttserver.WithGlobalPropagator(), mqttserver.WithPropagator(propagation.TraceContext{}),
		mqttserver.Middleware(ktracing.Server(ktracing.WithTracerProvider(provider))))
	startup, span := provider.Tracer("test").Start(t.Context(), "startup")
	done := make(chan string, 1)
	if err := mqttserver.RegisterSubscriber(srv, startup, "a", into(done)); err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	span.End()
	ahead, span := provider.Tracer("test").Start(within(t, patience), "ahead")
	if err := srv.Publish(ahead, "a", broker.NewMessage(reading{})); err != nil {
		t.Fatal(err)
	}
	span.End()
	receive(t, done)
	if err := srv.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	spans := make(map[string]tracetest.SpanStub)
	for _, s := range exporter.GetSpans() {
		spans[s.Name] = s
	}
	send, process, handler := spans["send"], spans["process a"], spans["a"]
	if process.Parent.IsValid() || len(process.Links) != 1 || !process.Links[0].SpanContext.Equal(send.SpanContext.WithRemote(true)) {
		t.Errorf("process has the parent %v and the links %v, want none and the link %v", process.Parent, process.Links, send.SpanContext)
	}
	if handler.Parent.SpanID() != process.SpanContext.SpanID() {
		t.Errorf("the span of Kratos' middleware has the parent %v, want process, %v", handler.Parent, process.SpanContext)
	}
}

// Headers of other propagators are trace context, too: middleware does not see them,
// and links are read from them.
func TestOwnPropagatorIsNotTrustedEither(t *testing.T) {
	provider, exporter := tracedBy(t, sdktrace.AlwaysSample())
	c := carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), false}
	srv := c.server(t, mqttserver.WithTracerProvider(provider), mqttserver.WithPropagator(nil), mqttserver.WithPropagator(renamed{}))
	seen := make(chan []string, 1)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		tr, _ := mqttserver.FromContext(ctx)
		seen <- tr.RequestHeader().Keys()
		return nil
	})
	start(t, srv)
	sent := mqttbroker.WithCallOptions(event.Header("X-Trace", "00-"+forgedTrace+"-0000000000000001-01"))
	if err := c.broker(t).Publish(within(t, patience), "a", broker.NewMessage(reading{}), sent); err != nil {
		t.Fatal(err)
	}
	if keys := receive(t, seen); slices.Contains(keys, "x-trace") {
		t.Errorf("middleware sees %v", keys)
	}
	if err := srv.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	spans := exporter.GetSpans()
	if len(spans) != 1 || spans[0].Parent.IsValid() || len(spans[0].Links) != 1 || spans[0].Links[0].SpanContext.TraceID().String() != forgedTrace {
		t.Errorf("spans %+v", spans)
	}
}

// renamed is W3C trace context with other header names.
type renamed struct{}

func (renamed) Inject(context.Context, propagation.TextMapCarrier) {}

func (renamed) Extract(ctx context.Context, c propagation.TextMapCarrier) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": c.Get("x-trace")})
}

func (renamed) Fields() []string { return []string{"X-Trace"} }

// The messages of a batch belong to many traces: the span of the batch is linked to
// each of them and is a child of none, trusted or not.
func TestBatchIsLinkedToItsMessages(t *testing.T) {
	const n = 5
	for _, trust := range []bool{false, true} {
		t.Run(fmt.Sprintf("trusted %t", trust), func(t *testing.T) {
			provider, exporter := tracedBy(t, sdktrace.AlwaysSample())
			url := mqtttest.Mosquitto(t).URL()
			c := carrier{url, mqttbroker.WithProtocol("5"), false}
			srv := c.server(t, mqttserver.WithTracerProvider(provider))
			d := textService()
			m := &d.Methods[0]
			done := make(chan int, n)
			srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(m,
				func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) { return nil, nil }, bindText)},
				eventimpl.NewBatch(m, func(ctx context.Context, in []*wrapperspb.StringValue) error {
					if baggage.FromContext(ctx).Len() > 0 {
						t.Error("baggage in the context of a batch")
					}
					done <- len(in)
					return nil
				}, event.BatchSize(n), event.BatchWait(time.Hour)), event.TrustSender(trust))
			start(t, srv)
			sender := c.broker(t, broker.WithCodec(""))
			for i := range n {
				if err := sender.Publish(within(t, patience), "texts/a", broker.NewMessage([]byte{}), forged(i)...); err != nil {
					t.Fatal(err)
				}
			}
			if got := receive(t, done); got != n {
				t.Fatalf("a batch of %d", got)
			}
			if err := srv.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			spans := exporter.GetSpans()
			if len(spans) != 1 || spans[0].Parent.IsValid() || len(spans[0].Links) != n {
				t.Fatalf("spans %+v", spans)
			}
			for i, l := range spans[0].Links {
				if id := l.SpanContext.SpanID().String(); l.SpanContext.TraceID().String() != forgedTrace || strings.TrimLeft(id, "0") != fmt.Sprint(i+1) {
					t.Errorf("link %d is to %v", i, l.SpanContext)
				}
			}
		})
	}
}
