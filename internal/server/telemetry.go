package server

import (
	"context"
	"fmt"
	nethttp "net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/kratos-mqtt/kratos-mqtt/observe"
	"github.com/kratos-mqtt/kratos-mqtt/observe/console"
)

// Paths of what this process reports about itself.
const (
	metricsPath = "/metrics"
	livePath    = "/healthz"
	readyPath   = "/readyz"
)

// Telemetry has the metrics and the health of this process. Its clients and servers
// report to the hooks of [Telemetry.Hooks]. After Watch their state is part of the
// health.
type Telemetry struct {
	metrics  *observe.Metrics
	health   *observe.Probe
	recorder *console.Recorder
	scrape   nethttp.Handler

	provider trace.TracerProvider // nil without spans
}

// NewTelemetry returns telemetry that Prometheus can read. Spans are made if the environment
// names a collector, with OTEL_EXPORTER_OTLP_ENDPOINT; metrics then have exemplars, in the
// OpenMetrics format. The returned function sends the last spans.
//
// limits set when the health is degraded.
func NewTelemetry(ctx context.Context, name ServiceName, limits observe.Limits) (*Telemetry, func(), error) {
	provider, cleanup, err := newTracerProvider(ctx, name)
	if err != nil {
		return nil, nil, err
	}
	t, err := newMetrics(name, limits)
	if err != nil {
		cleanup()
		return nil, nil, fmt.Errorf("metrics: %w", err)
	}
	t.provider = provider
	return t, cleanup, nil
}

// newMetrics returns telemetry without spans.
func newMetrics(name ServiceName, limits observe.Limits) (*Telemetry, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry), otelprometheus.WithoutScopeInfo())
	if err != nil {
		return nil, err
	}
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		if err := registry.Register(c); err != nil {
			return nil, err
		}
	}
	metrics, err := observe.NewMetrics(metric.NewMeterProvider(metric.WithReader(exporter), metric.WithResource(resourceOf(name))))
	if err != nil {
		return nil, err
	}
	return &Telemetry{
		metrics:  metrics,
		health:   observe.NewProbe(limits),
		recorder: console.NewRecorder(),
		scrape:   promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry, EnableOpenMetrics: true}),
	}, nil
}

// Hooks returns the hooks for each client.
func (t *Telemetry) Hooks() []any { return []any{t.metrics, t.health, t.recorder} }

// Spans returns the provider of spans, or nil if none are made.
func (t *Telemetry) Spans() trace.TracerProvider { return t.provider }

// Watch adds clients whose state is reported. Call it once all of them are made.
func (t *Telemetry) Watch(clients ...observe.Source) {
	t.metrics.Watch(clients...)
	t.health.Watch(clients...)
}

// Check returns the current state.
func (t *Telemetry) Check() observe.Report { return t.health.Check() }

// routes returns the handlers by path.
func (t *Telemetry) routes() map[string]nethttp.Handler {
	return map[string]nethttp.Handler{metricsPath: t.scrape, livePath: t.health.Live(), readyPath: t.health.Ready()}
}
