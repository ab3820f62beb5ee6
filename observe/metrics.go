package observe

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// Source is what reports its state: the Broker and Publisher of package broker/mqtt and the
// Server of package transport/mqtt.
type Source interface{ Health() event.Health }

// Metrics makes metrics of what the MQTT packages report. It is a hook: give it to each
// client with the option WithHooks. Gauges, and counts that Health has, need [Metrics.Watch].
// Safe for concurrent use; it delays a publish and a handler by less than a microsecond, and
// has no effect on acknowledgement.
type Metrics struct {
	meter   metric.Meter
	system  []attribute.KeyValue
	labels  labels
	sources sources

	operationDuration metric.Float64Histogram
	processDuration   metric.Float64Histogram
	messageAge        metric.Float64Histogram
	batchSize         metric.Int64Histogram
}

var (
	_ event.PublishHook        = (*Metrics)(nil)
	_ event.RelayHook          = (*Metrics)(nil)
	_ event.HandleHook         = (*Metrics)(nil)
	_ event.RetryHook          = (*Metrics)(nil)
	_ event.DeadLetterHook     = (*Metrics)(nil)
	_ event.ParkHook           = (*Metrics)(nil)
	_ event.ConnectAttemptHook = (*Metrics)(nil)
	_ event.ConnectionLostHook = (*Metrics)(nil)
)

// NewMetrics returns metrics of a provider, which is required. The names are those of
// OpenTelemetry's messaging conventions 1.45, and kratosmqtt.* for what these do not have;
// docs/guide/operations.md lists them. The attribute messaging.system, which was renamed in
// 1.45, is there too if the environment variable OTEL_SEMCONV_STABILITY_OPT_IN contains
// messaging/dup. The error names the metrics that the provider refused.
func NewMetrics(provider metric.MeterProvider) (*Metrics, error) {
	if provider == nil {
		return nil, errors.New("observe: the meter provider is nil")
	}
	m := &Metrics{
		meter:  provider.Meter(scope, metric.WithSchemaURL(semconv.SchemaURL)),
		system: semconv.Systems(os.Getenv(semconv.OptIn)),
	}
	m.labels.rest = newSeries(append(slices.Clip(m.system), overflow.Bool(true))...)
	if err := errors.Join(m.instruments(), m.count(), m.observe()); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return m, nil
}

// instruments creates what the hooks record on.
func (m *Metrics) instruments() error {
	var errs []error
	seconds := func(to *metric.Float64Histogram, name, description string, buckets []float64) {
		h, err := m.meter.Float64Histogram(name, metric.WithUnit("s"), metric.WithDescription(description), metric.WithExplicitBucketBoundaries(buckets...))
		*to, errs = h, append(errs, err)
	}
	seconds(&m.operationDuration, semconv.ClientOperationDuration, "Duration of a publish, until the broker or the outbox has the message", semconv.Buckets())
	seconds(&m.processDuration, semconv.ProcessDuration, "Duration of one attempt of a handler", semconv.Buckets())
	seconds(&m.messageAge, messageAge, "Age of a message when it was handled, by the time at which its sender published it", ageBuckets())
	size, err := m.meter.Int64Histogram(batchSize, metric.WithUnit("{message}"), metric.WithDescription("Messages that a handler received together"),
		metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
	m.batchSize, errs = size, append(errs, err)
	return errors.Join(errs...)
}

// ageBuckets are bounds in seconds: an age may be of days.
func ageBuckets() []float64 {
	return append(semconv.Buckets(), 30, 60, 300, 900, 3600, 6*3600, 24*3600)
}
