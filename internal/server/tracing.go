package server

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/go-kratos/kratos/v2/middleware"
	ktracing "github.com/go-kratos/kratos/v2/middleware/tracing"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Environment variables of OpenTelemetry that turn spans on. Its exporter and SDK read the
// others themselves, such as OTEL_TRACES_SAMPLER.
const (
	envEndpoint      = "OTEL_EXPORTER_OTLP_ENDPOINT"
	envTraceEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// serviceName is the attribute of OpenTelemetry's resources.
const serviceName = attribute.Key("service.name")

// spansTimeout bounds the sending of the last spans at the end.
const spansTimeout = 3 * time.Second

// newTracerProvider returns a provider that sends spans by OTLP over HTTP, or nil if
// the environment names no endpoint. The returned function sends the remaining spans.
func newTracerProvider(ctx context.Context, name ServiceName) (trace.TracerProvider, func(), error) {
	if os.Getenv(envEndpoint) == "" && os.Getenv(envTraceEndpoint) == "" {
		return nil, func() {}, nil
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("spans (%s): %w", envEndpoint, err)
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(resourceOf(name)))
	return provider, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), spansTimeout)
		defer cancel()
		_ = provider.Shutdown(ctx) // the collector is away
	}, nil
}

// resourceOf describes the process to OpenTelemetry. OTEL_RESOURCE_ATTRIBUTES and
// OTEL_SERVICE_NAME take precedence.
func resourceOf(name ServiceName) *resource.Resource {
	own := resource.NewSchemaless(serviceName.String(string(name)))
	r, err := resource.Merge(resource.Default(), own)
	if err != nil {
		return own
	}
	if os.Getenv("OTEL_SERVICE_NAME") == "" {
		return r
	}
	return resource.Default()
}

// spans returns the middleware that begins the span of a request, if spans are enabled.
func (t *Telemetry) spans() []middleware.Middleware {
	if t == nil || t.provider == nil {
		return nil
	}
	return []middleware.Middleware{ktracing.Server(ktracing.WithTracerProvider(t.provider))}
}
