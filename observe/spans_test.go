package observe_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"google.golang.org/protobuf/types/known/emptypb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// handlers count messages, and fail for the device "bad".
type handlers struct {
	devicev1.DeviceEventsMQTTServer
	done chan struct{}
}

func (h handlers) SaveUserReport(context.Context, *reportv1.AcceptStatusReportData) (*emptypb.Empty, error) {
	return new(emptypb.Empty), nil
}

func (h handlers) SaveEventReport(context.Context, *reportv1.RealTimeWarehousingData) (*emptypb.Empty, error) {
	defer func() { h.done <- struct{}{} }()
	return new(emptypb.Empty), nil
}

func (h handlers) RecordTelemetry(_ context.Context, in *devicev1.Telemetry) (*emptypb.Empty, error) {
	defer func() { h.done <- struct{}{} }()
	if in.DeviceId == "bad" {
		return nil, &event.Error{Reason: event.ReasonTooLarge, Cause: errors.New("bad")} // at once a dead letter
	}
	return new(emptypb.Empty), nil
}

// TestSpans compares real spans of generated code and of a publish by hand with
// testdata/spans.txt: names, kinds, relations and attributes. kratos-transport's tracing
// sets the global provider, so nothing here runs in parallel.
func TestSpans(t *testing.T) {
	before := otel.GetTracerProvider()
	t.Cleanup(func() { otel.SetTracerProvider(before) })
	exporter := tracetest.NewInMemoryExporter()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	t.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
	url := mqtttest.InProcess(t).URL()

	h := handlers{done: make(chan struct{}, 10)}
	metrics, collect := metricsOf(t)
	srv := mqttserver.NewServer(mqttserver.WithAddress([]string{url}), mqttserver.WithTracerProvider(provider), mqttserver.WithCodec("proto"),
		mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5"), mqttbroker.WithHooks(metrics)))
	reportv1.RegisterReportEventsMQTTServer(srv, h)
	devicev1.RegisterDeviceEventsMQTTServer(srv, h, event.Except("RecordHeartbeat", "GetDeviceState"), event.Group("savers"))
	run(t, srv)

	var got strings.Builder
	for _, through := range []string{"broker", "outbox"} {
		opts := []broker.Option{
			broker.WithAddress(url), mqttbroker.WithProtocol("5"), mqttbroker.WithHooks(metrics), mqttbroker.WithSentAt(true),
			broker.WithTracerProvider(provider),
		}
		if through == "outbox" {
			store, err := outbox.NewMemory(outbox.MemoryOptions{})
			if err != nil {
				t.Fatal(err)
			}
			opts = append(opts, mqttbroker.WithOutbox(store))
		}
		b := mqttbroker.NewBroker(opts...)
		if err := errors.Join(b.Init(), b.Connect()); err != nil {
			t.Fatal(err)
		}
		cc := mqttbroker.NewClientConn(b)
		devices, reports := devicev1.NewDeviceEventsMQTTClient(cc), reportv1.NewReportEventsMQTTClient(cc)
		for _, c := range []struct {
			name    string
			publish func() error
			handled int
		}{
			{"trusted", func() error { return reports.SaveEventReport(t.Context(), new(reportv1.RealTimeWarehousingData)) }, 1},
			{"not trusted", func() error { return devices.RecordTelemetry(t.Context(), &devicev1.Telemetry{DeviceId: "7"}) }, 1},
			{"failing", func() error { return devices.RecordTelemetry(t.Context(), &devicev1.Telemetry{DeviceId: "bad"}) }, 1},
			{"topic by hand", func() error {
				return devices.RecordTelemetry(t.Context(), &devicev1.Telemetry{DeviceId: "7"}, event.Topic("elsewhere/7"))
			}, 0},
			{"no template", func() error { return b.Publish(t.Context(), "devices/7/other", broker.NewMessage([]byte("x"))) }, 0},
		} {
			exporter.Reset()
			if err := c.publish(); err != nil {
				t.Fatal(err)
			}
			for range c.handled {
				<-h.done
			}
			sent := 1
			if through == "outbox" {
				sent = 2
			}
			fmt.Fprintf(&got, "# %s, by the %s\n%s", c.name, through, described(t, exporter, sent+c.handled))
		}
		if err := b.Disconnect(); err != nil {
			t.Fatal(err)
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
	for name, want := range map[string]float64{"messaging.client.operation.duration": 4, "messaging.client.consumed.messages": 4, "kratosmqtt.message.age": 2} {
		count := func() float64 {
			return find(t, collect(), name, "messaging.destination.template", "devices/{device_id}/data")
		}
		eventually(t, name, func() bool { return count() >= want })
		if got := count(); got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{"messaging.client.operation.duration", "messaging.process.duration", "kratosmqtt.message.age"} {
		if exemplars(collect(), name) == 0 {
			t.Errorf("%s has no exemplar of a trace", name)
		}
	}
}

// run starts a server until the test ends.
func run(t *testing.T, srv *mqttserver.Server) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- srv.Start(context.Background()) }()
	t.Cleanup(func() {
		if err := errors.Join(srv.Stop(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := srv.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
}

// described waits for n spans and describes them, senders first.
func described(t *testing.T, exporter *tracetest.InMemoryExporter, n int) string {
	t.Helper()
	eventually(t, "spans", func() bool { return len(exporter.GetSpans()) >= n })
	spans := exporter.GetSpans()
	slices.SortFunc(spans, func(a, b tracetest.SpanStub) int {
		return cmp.Or(strings.Compare(b.Name, a.Name), int(b.SpanKind)-int(a.SpanKind))
	})
	var out strings.Builder
	for _, s := range spans {
		relation := "root"
		switch {
		case s.Parent.SpanID() == spans[0].SpanContext.SpanID() && s.SpanContext.TraceID() == spans[0].SpanContext.TraceID():
			relation = "child of send"
		case s.Parent.IsValid():
			relation = "child of another span"
		case len(s.Links) == 1 && s.Links[0].SpanContext.SpanID() == spans[0].SpanContext.SpanID():
			relation = "root, linked to send"
		}
		fmt.Fprintf(&out, "%s | %s | %s | %s\n", s.Name, s.SpanKind, relation, s.Status.Code)
		for _, a := range slices.SortedFunc(slices.Values(s.Attributes), func(a, b attribute.KeyValue) int { return strings.Compare(string(a.Key), string(b.Key)) }) {
			value := a.Value.String()
			if a.Key == "messaging.message.id" {
				value = "*"
			}
			fmt.Fprintf(&out, "  %s = %s\n", a.Key, value)
		}
	}
	return out.String()
}

// eventually waits until a condition is met.
func eventually(t *testing.T, what string, met func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); !met(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
	}
}

// exemplars returns the number of exemplars of a histogram that name a trace.
func exemplars(scope metricdata.ScopeMetrics, name string) (n int) {
	for _, m := range scope.Metrics {
		if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == name {
			for _, p := range h.DataPoints {
				for _, e := range p.Exemplars {
					if len(e.TraceID) > 0 {
						n++
					}
				}
			}
		}
	}
	return n
}
