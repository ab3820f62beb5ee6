package contender

import (
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

// Measured returns options that make metrics of everything, with OpenTelemetry's SDK.
func Measured() ([]broker.Option, error) {
	metrics, err := observe.NewMetrics(sdkmetric.NewMeterProvider(sdkmetric.WithReader(sdkmetric.NewManualReader())))
	if err != nil {
		return nil, err
	}
	return []broker.Option{mqttbroker.WithHooks(metrics)}, nil
}

// Traced returns the options of [Measured] and those of spans that no sampler records.
func Traced() ([]broker.Option, error) {
	opts, err := Measured()
	if err != nil {
		return nil, err
	}
	return append(opts, broker.WithTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.NeverSample())))), nil
}
