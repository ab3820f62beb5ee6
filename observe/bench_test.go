package observe_test

import (
	"context"
	"testing"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

func benchmarked(b *testing.B) *observe.Metrics {
	b.Helper()
	m, err := observe.NewMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))
	if err != nil {
		b.Fatal(err)
	}
	return m
}

func BenchmarkOnHandle(b *testing.B) {
	m := benchmarked(b)
	info := event.HandleInfo{
		Delivery: event.Delivery{Filter: "devices/+/data", Template: "devices/{device_id}/data", Operation: "/a.B/C", Topic: "devices/7/data", Attempt: 1},
		Duration: time.Millisecond, Context: context.Background(),
	}
	b.ReportAllocs()
	for b.Loop() {
		m.OnHandle(info)
	}
}

func BenchmarkOnPublish(b *testing.B) {
	m := benchmarked(b)
	info := event.PublishInfo{Template: "devices/{device_id}/data", Operation: "/a.B/C", Topic: "devices/7/data", Attempts: 1, Duration: time.Millisecond, Context: context.Background()}
	b.ReportAllocs()
	for b.Loop() {
		m.OnPublish(info)
	}
}
