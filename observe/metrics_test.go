package observe_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

// fixed is a client with this health.
type fixed event.Health

func (f fixed) Health() event.Health { return event.Health(f) }

// metricsOf returns metrics and a function that collects them.
func metricsOf(t *testing.T) (*observe.Metrics, func() metricdata.ScopeMetrics) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	m, err := observe.NewMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	if err != nil {
		t.Fatal(err)
	}
	return m, func() metricdata.ScopeMetrics {
		var all metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &all); err != nil {
			t.Fatal(err)
		}
		if len(all.ScopeMetrics) != 1 {
			t.Fatalf("%d scopes", len(all.ScopeMetrics))
		}
		return all.ScopeMetrics[0]
	}
}

// everything reports one event of each kind.
func everything(m *observe.Metrics) {
	failed := &event.Error{Reason: event.ReasonTimeout}
	generated := event.Delivery{
		Filter: "$share/savers/devices/+/data", Template: "devices/{device_id}/data", Operation: "/device.v1.DeviceEvents/Report",
		Topic: "devices/7/data", Attempt: 1,
	}
	again := generated
	again.Attempt = 2
	m.OnPublish(event.PublishInfo{Topic: "devices/7/data", Template: "devices/{device_id}/data", Duration: time.Millisecond, Attempts: 3})
	m.OnPublish(event.PublishInfo{Topic: "devices/8/data", Duration: time.Second, Attempts: 1, Err: failed})
	m.OnPublish(event.PublishInfo{Topic: "devices/9/data", Duration: time.Second}) // the outbox took it
	m.OnRelay(event.RelayInfo{Topic: "devices/9/data", Err: failed})
	m.OnRelay(event.RelayInfo{Topic: "devices/9/data"})
	m.OnHandle(event.HandleInfo{Delivery: generated, Err: errors.New("busy"), Batch: 7})
	m.OnHandle(event.HandleInfo{Delivery: again, SentAt: time.Now().Add(-time.Minute)})
	m.OnHandle(event.HandleInfo{Delivery: again, SentAt: time.Now().Add(-10_000 * time.Hour)})
	m.OnRetry(event.RetryInfo{Delivery: generated, Err: failed})
	m.OnDeadLetter(event.DeadLetterInfo{Delivery: event.Delivery{Filter: "alerts/#", Topic: "alerts/7"}, Err: failed})
	m.OnPark(event.ParkInfo{Delivery: generated, Err: failed})
	m.OnConnectAttempt(event.ConnectAttemptInfo{ClientID: "saver"})
	m.OnConnectAttempt(event.ConnectAttemptInfo{ClientID: "saver", Err: failed})
	m.OnConnectAttempt(event.ConnectAttemptInfo{ClientID: "tls", Err: fmt.Errorf("connect: %w", &event.TLSError{Problem: event.TLSExpired, Cause: failed})})
	m.OnConnectionLost(event.ConnectionLostInfo{ClientID: "saver", Kind: event.LossKeepAlive})
}

// TestEmitted compares names, kinds, units and attributes with testdata/metrics.txt.
func TestEmitted(t *testing.T) {
	for name, optIn := range map[string]string{"metrics.txt": "", "metrics-dup.txt": "http, messaging/dup"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_SEMCONV_STABILITY_OPT_IN", optIn)
			m, collect := metricsOf(t)
			m.Watch(fixed{Instance: "1", Sessions: []event.SessionHealth{{ClientID: "saver"}}})
			everything(m)
			scope := collect()
			if want := "https://opentelemetry.io/schemas/1.45.0"; scope.Scope.SchemaURL != want {
				t.Errorf("schema %q, want %q", scope.Scope.SchemaURL, want)
			}
			var got strings.Builder
			for _, metric := range slices.SortedFunc(slices.Values(scope.Metrics), func(a, b metricdata.Metrics) int { return strings.Compare(a.Name, b.Name) }) {
				kind, keys, topics := shape(t, metric)
				fmt.Fprintf(&got, "%s | %s | %s | %s\n", metric.Name, kind, metric.Unit, strings.Join(keys, " "))
				if metric.Description == "" || topics {
					t.Errorf("%s: description %q, topics of devices: %t", metric.Name, metric.Description, topics)
				}
			}
			path := filepath.Join("testdata", name)
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
				t.Errorf("emitted:\n%s\nwant (UPDATE=1 writes %s):\n%s", got.String(), path, want)
			}
		})
	}
}

// shape returns the kind of a metric, the keys of its attributes, and whether a value has
// a topic.
func shape(t *testing.T, m metricdata.Metrics) (kind string, keys []string, topics bool) {
	t.Helper()
	var sets []attribute.Set
	switch d := m.Data.(type) {
	case metricdata.Histogram[float64]:
		kind = "histogram"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Histogram[int64]:
		kind = "histogram"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Sum[int64]:
		kind = "counter"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Sum[float64]:
		kind = "counter"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	case metricdata.Gauge[float64]:
		kind = "gauge"
		for _, p := range d.DataPoints {
			sets = append(sets, p.Attributes)
		}
	default:
		t.Fatalf("%s is a %T", m.Name, d)
	}
	all := make(map[string]bool)
	for _, set := range sets {
		for _, a := range set.ToSlice() {
			all[string(a.Key)] = true
			topics = topics || strings.Contains(a.Value.String(), "devices/7") || strings.Contains(a.Value.String(), "devices/8")
		}
	}
	return kind, slices.Sorted(maps.Keys(all)), topics
}

// find returns the sum of a metric over the points with an attribute, which may be "".
func find(t *testing.T, scope metricdata.ScopeMetrics, name, key, value string) (sum float64) {
	t.Helper()
	has := func(set attribute.Set) bool {
		v, ok := set.Value(attribute.Key(key))
		return key == "" || ok && v.String() == value
	}
	for _, m := range scope.Metrics {
		if m.Name != name {
			continue
		}
		switch d := m.Data.(type) {
		case metricdata.Sum[int64]:
			for _, p := range d.DataPoints {
				if has(p.Attributes) {
					sum += float64(p.Value)
				}
			}
		case metricdata.Sum[float64]:
			for _, p := range d.DataPoints {
				if has(p.Attributes) {
					sum += p.Value
				}
			}
		case metricdata.Gauge[float64]:
			for _, p := range d.DataPoints {
				if has(p.Attributes) {
					sum += p.Value
				}
			}
		case metricdata.Histogram[float64]:
			for _, p := range d.DataPoints {
				if has(p.Attributes) {
					sum += float64(p.Count)
				}
			}
		case metricdata.Histogram[int64]:
			for _, p := range d.DataPoints {
				if has(p.Attributes) {
					sum += float64(p.Count)
				}
			}
		}
	}
	return sum
}

// Messages and attempts are counted apart, and each under its own error.
func TestCounts(t *testing.T) {
	t.Parallel()
	m, collect := metricsOf(t)
	everything(m)
	scope := collect()
	for _, c := range []struct {
		name, key, value string
		want             float64
	}{
		{"messaging.client.operation.duration", "", "", 3},
		{"messaging.client.operation.duration", "error.type", "TIMEOUT", 1},
		{"messaging.client.sent.messages", "", "", 6},
		{"messaging.client.sent.messages", "error.type", "TIMEOUT", 2},
		{"messaging.client.sent.messages", "messaging.destination.template", "devices/{device_id}/data", 3},
		{"messaging.client.consumed.messages", "messaging.consumer.group.name", "savers", 1},
		{"messaging.process.duration", "messaging.destination.subscription.name", "/device.v1.DeviceEvents/Report", 3},
		{"messaging.process.duration", "error.type", "_OTHER", 1},
		{"kratosmqtt.message.age", "", "", 1}, // not the absurd one, nor the failed attempt
		{"kratosmqtt.batch.size", "", "", 1},
		{"kratosmqtt.message.retries", "error.type", "TIMEOUT", 1},
		{"kratosmqtt.dead_letters", "messaging.destination.template", "alerts/#", 1},
		{"kratosmqtt.message.parked", "", "", 1},
		{"kratosmqtt.connection.losses", "kratosmqtt.loss.kind", "keep-alive", 1},
		{"kratosmqtt.connection.failures", "", "", 2},
		{"kratosmqtt.connection.failures", "error.type", "expired", 1}, // the problem of TLS
	} {
		if got := find(t, scope, c.name, c.key, c.value); got != c.want {
			t.Errorf("%s{%s=%q}: %v, want %v", c.name, c.key, c.value, got, c.want)
		}
	}
}

// Several clients add up, the worst age counts, and one client that is watched twice counts
// once. A client that is not watched any more counts no more.
func TestWatch(t *testing.T) {
	t.Parallel()
	m, collect := metricsOf(t)
	server := fixed{Instance: "a", Queued: 3, Connected: true, Ready: true, Sessions: []event.SessionHealth{{ClientID: "s", Connected: true}}}
	server.Outbox.Age = 2 * time.Second
	broker := fixed{Instance: "b", Queued: 4, Sessions: []event.SessionHealth{{ClientID: "s-pub"}}}
	broker.Outbox.Age = 5 * time.Second
	m.Watch(server, nil, server)
	stop := m.Watch(broker)
	want := func(clients, queued, age, up float64) {
		t.Helper()
		scope := collect()
		for name, want := range map[string]float64{
			"kratosmqtt.clients": clients, "kratosmqtt.queue.depth": queued, "kratosmqtt.outbox.age": age, "kratosmqtt.connection.state": up,
		} {
			if got := find(t, scope, name, "", ""); got != want {
				t.Errorf("%s: %v, want %v", name, got, want)
			}
		}
	}
	want(2, 7, 5, 1)
	stop()
	stop()
	want(1, 3, 2, 1)
}

func TestNewMetricsWithoutProvider(t *testing.T) {
	t.Parallel()
	if _, err := observe.NewMetrics(nil); err == nil {
		t.Error("no error")
	}
}

// A measurement allocates nothing once its attributes are known.
func TestAllocations(t *testing.T) {
	m, _ := metricsOf(t)
	info := event.HandleInfo{Delivery: event.Delivery{Filter: "a/+", Topic: "a/1", Attempt: 1}, SentAt: time.Now()}
	m.OnHandle(info)
	if n := testing.AllocsPerRun(100, func() { m.OnHandle(info) }); n > 1 {
		t.Errorf("%v allocations, want at most 1", n)
	}
}
