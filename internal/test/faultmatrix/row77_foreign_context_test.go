package faultmatrix_test

import (
	"bytes"
	"context"
	"strings"
	"sync"
	"testing"

	"github.com/go-kratos/kratos/v2/metadata"
	kmetadata "github.com/go-kratos/kratos/v2/middleware/metadata"
	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/propagation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Row 77: one device sends its own trace context, baggage and metadata. They have no effect: they
// neither sample a span nor become its parent, no handler sees a role or a tenant of them, and
// nothing of them is sent on. The row sets OpenTelemetry's globals and runs alone.
func TestFault_77_ForeignContext(t *testing.T) {
	oneByOne(t, func(h *harness) {
		const traceID, messages = "0af7651916cd43dd8448eb211c80319c", 20
		provider, propagator := otel.GetTracerProvider(), otel.GetTextMapPropagator()
		h.Cleanup(func() { otel.SetTracerProvider(provider); otel.SetTextMapPropagator(propagator) })
		exporter := tracetest.NewInMemoryExporter()
		traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter), sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
		h.Cleanup(func() { _ = traces.Shutdown(context.Background()) })

		n := h.newNeighbours(mqtttest.WithUser("auditor", "auditor"), mqtttest.WithACL("user auditor", "topic read out/#"))
		s := h.newServer(n.broker.URL(), "", []mqttserver.ServerOption{
			mqttserver.WithTracerProvider(traces),
			mqttserver.WithPropagator(propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{})),
			mqttserver.Middleware(kmetadata.Server()),
		}, mqttbroker.WithCloudEvents("/faults"))
		var mu sync.Mutex
		var found []string
		note := func(what string) {
			mu.Lock()
			defer mu.Unlock()
			found = append(found, what)
		}
		s.subscribe("devices/+/data", func(ctx context.Context, topic, payload string) error {
			if topic != "devices/"+rogue+"/data" {
				n.handled(idOf([]byte(payload)))
				return nil
			}
			if b := baggage.FromContext(ctx); b.Len() > 0 {
				note("baggage " + b.String())
			}
			if sc := trace.SpanContextFromContext(ctx); sc.TraceID().String() == traceID {
				note("the trace of the handler")
			}
			md, _ := metadata.FromServerContext(ctx)
			for key, values := range md {
				if text := strings.Join(values, " "); strings.Contains(text, "admin") || strings.Contains(text, "victim") {
					note("metadata " + key)
				}
			}
			return h.said.err(s.s.Publish(ctx, "out/"+rogue, broker.NewMessage([]byte(payload))))
		})
		s.run()
		n.join()
		var onward []string
		n.device("auditor", nil).subscribe("out/#", func(a arrival) {
			mu.Lock()
			defer mu.Unlock()
			onward = append(onward, string(bytes.ToLower(append(a.properties, a.payload...))))
		})
		n.unharmed(s, func(first int) func() {
			for i := range messages {
				n.rogue.publish(wire{topic: "devices/" + rogue + "/data", payload: []byte(id(hostile + first + i)), headers: [][2]string{
					{"id", id(hostile + first + i)},
					{"traceparent", "00-" + traceID + "-b7ad6b7169203331-01"},
					{"tracestate", "vendor=admin"},
					{"baggage", "user=admin,tenant=victim"},
					{"x-md-global-role", "admin"},
					{"X-MD-GLOBAL-TENANT", "victim"},
					{"x-md-local-role", "admin"},
				}})
			}
			return nil
		})
		n.soon(func() bool { mu.Lock(); defer mu.Unlock(); return len(onward) >= messages })
		mu.Lock()
		defer mu.Unlock()
		if len(onward) < messages {
			h.Errorf("%d messages went on, want %d", len(onward), messages)
		}
		for _, text := range onward {
			for _, mark := range []string{"admin", "victim", traceID} {
				if strings.Contains(text, mark) {
					found = append(found, "what travels on: "+mark)
				}
			}
		}
		spans := 0
		for _, span := range exporter.GetSpans() {
			if span.Parent.TraceID().String() == traceID || span.SpanContext.TraceID().String() == traceID {
				spans++
			}
		}
		h.figure("spans in the trace of the sender", spans)
		if exported := len(exporter.GetSpans()); exported > 0 {
			h.Errorf("%d spans were exported, want none: nobody but the device asked for them", exported)
		}
		if s.health().MetadataRefused == 0 {
			h.Error("the health counts no metadata that was refused")
		}
		if len(found) > 0 {
			h.Errorf("found %d times what the device has made up, first in %s", len(found), found[0])
		}
	})
}
