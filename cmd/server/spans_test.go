package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectorv1 "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracev1 "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// collector receives spans by OTLP.
type collector struct {
	mu    sync.Mutex
	spans []*tracev1.Span
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in collectorv1.ExportTraceServiceRequest
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, &in)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range in.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			c.spans = append(c.spans, scope.Spans...)
		}
	}
}

// wait returns the spans since the last call, once those with the given names are among
// them. A span is sent after its children.
func (c *collector) wait(t *testing.T, names ...string) (spans []*tracev1.Span) {
	t.Helper()
	eventually(t, func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, name := range names {
			if !slices.ContainsFunc(c.spans, func(s *tracev1.Span) bool { return s.Name == name }) {
				return false
			}
		}
		spans, c.spans = c.spans, nil
		return true
	})
	return spans
}

// tree describes spans by line, each below its parent and in the order of their start, with
// a letter for the trace. known are traces that are not ours, by id.
func tree(spans []*tracev1.Span, known map[string]string) string {
	slices.SortStableFunc(spans, func(a, b *tracev1.Span) int { return int(a.StartTimeUnixNano) - int(b.StartTimeUnixNano) })
	traces := make(map[string]string)
	var out strings.Builder
	var describe func(s *tracev1.Span, depth int)
	describe = func(s *tracev1.Span, depth int) {
		id := string(s.TraceId)
		if traces[id] == "" {
			traces[id] = string(rune('A' + len(traces)))
		}
		kind := strings.ToLower(strings.TrimPrefix(s.Kind.String(), "SPAN_KIND_"))
		fmt.Fprintf(&out, "%s %s%s (%s)", traces[id], strings.Repeat("  ", depth), s.Name, kind)
		for _, l := range s.Links {
			fmt.Fprintf(&out, ", linked to %s", known[hex.EncodeToString(l.TraceId)])
		}
		out.WriteByte('\n')
		for _, child := range spans {
			if string(child.ParentSpanId) == string(s.SpanId) && string(child.TraceId) == id {
				describe(child, depth+1)
			}
		}
	}
	for _, s := range spans {
		if !slices.ContainsFunc(spans, func(p *tracev1.Span) bool { return string(p.SpanId) == string(s.ParentSpanId) }) {
			describe(s, 0)
		}
	}
	return out.String()
}

// A report is one trace from the HTTP request through MQTT to the SQL statement, because its
// operation trusts its senders. A reading is the root of a trace of our own, down to the
// statements and to the alert that it raises, with a link to the device. testdata/spans.txt
// lists the spans, with and without an outbox, on both versions.
func TestTraceFromRequestToStatement(t *testing.T) {
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	var got strings.Builder
	for _, protocol := range []string{"3.1.1", "5"} {
		for _, outbox := range []string{conf.DriverNone, conf.DriverSQL} {
			t.Run(fmt.Sprintf("%s, outbox %s", protocol, outbox), func(t *testing.T) {
				report, reading := traces(t, protocol, outbox)
				fmt.Fprintf(&got, "# report, MQTT %s, outbox: %s\n%s# reading, MQTT %s, outbox: %s\n%s", protocol, outbox, report, protocol, outbox, reading)
			})
		}
	}
	path := filepath.Join("testdata", "spans.txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != string(want) {
		t.Errorf("spans:\n%s\nwant (UPDATE=1 writes %s):\n%s", got.String(), path, want)
	}
}

// traces runs the service and returns the spans of a report and of a reading.
func traces(t *testing.T, protocol, outbox string) (report, reading string) {
	c := new(collector)
	to := httptest.NewServer(c)
	t.Cleanup(to.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", to.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10") // ms
	settings := allInOne(filepath.Join(t.TempDir(), "test.db"))
	settings.Mqtt.Connection.Protocol = protocol
	settings.Mqtt.Outbox = &kratosmqttv1.Outbox{Driver: outbox}
	device := []broker.Option{mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("device")}
	if protocol == "3.1.1" {
		settings.Mqtt.CloudEvents = "/test"
		device = append(device, mqttbroker.WithCloudEvents("/device"))
	}
	r := start(t, settings)
	if !r.post(t, 1) {
		t.Fatal("the report was refused")
	}
	relayed := []string{} // spans of the relay
	if outbox != conf.DriverNone {
		relayed = append(relayed, "send")
	}
	report = tree(c.wait(t, append(relayed, "/report.v1.ReportService/PostReport", "process reports/event")...), nil)
	r.wantExemplar(t)

	provider := sdktrace.NewTracerProvider() // the device keeps its spans to itself
	b := mqttbroker.NewBroker(append(device, broker.WithAddress(r.broker), broker.WithTracerProvider(provider))...)
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	defer b.Disconnect()
	ctx, span := provider.Tracer("device").Start(context.Background(), "measure")
	defer span.End()
	c.wait(t) // forget what the scrape may have left
	in := &devicev1.Telemetry{DeviceId: "d1", EventId: "r1", Temperature: new(61.5), Timestamp: timestamppb.Now()}
	if err := devicev1.NewDeviceEventsMQTTClient(mqttbroker.NewClientConn(b)).RecordTelemetry(ctx, in); err != nil {
		t.Fatal(err)
	}
	reading = tree(c.wait(t, append(relayed, "process devices/{device_id}/data")...), map[string]string{span.SpanContext().TraceID().String(): "the trace of the device"})
	return report, reading
}

// wantExemplar waits until a metric has an exemplar of a trace.
func (r *running) wantExemplar(t *testing.T) {
	t.Helper()
	eventually(t, func() bool {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/metrics", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept", "application/openmetrics-text")
		res, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "messaging_process_duration_seconds_bucket") && strings.Contains(line, "trace_id=") {
				return true
			}
		}
		return false
	})
}
