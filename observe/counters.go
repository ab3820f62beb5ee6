package observe

import (
	"context"

	"go.opentelemetry.io/otel/metric"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// counter is a count of events that hooks report. The SDK reads it at each collection: an
// atomic addition costs a publish or a handler far less than the SDK's own counter.
type counter int

const (
	sent counter = iota
	consumed
	retried
	parked
	deadLettered
	lost
	notConnected
	counters
)

// counterNames describes the counters, in their order.
func counterNames() [counters]struct{ name, unit, description string } {
	return [counters]struct{ name, unit, description string }{
		{semconv.ClientSentMessages, "{message}", "Attempts to send a message to the broker, also by the outbox"},
		{semconv.ClientConsumedMessages, "{message}", "Messages that a handler received, each delivery once"},
		{messageRetries, "{attempt}", "Failed attempts of handlers that are followed by another one"},
		{messageParked, "{message}", "Messages that were parked"},
		{deadLetters, "{message}", "Messages that became dead letters"},
		{connectionLosses, "{connection}", "Connections that were lost, and that the client opens again"},
		{connectFailures, "{attempt}", "Failed attempts to connect"},
	}
}

// count creates the counters and the callback that reads them.
func (m *Metrics) count() error {
	var made [counters]metric.Int64ObservableCounter
	all := make([]metric.Observable, counters)
	for i, c := range counterNames() {
		var err error
		if made[i], err = m.meter.Int64ObservableCounter(c.name, metric.WithUnit(c.unit), metric.WithDescription(c.description)); err != nil {
			return err
		}
		all[i] = made[i]
	}
	_, err := m.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		m.labels.each(func(s *series) {
			for i := range made {
				if n := s.counts[i].Load(); n > 0 {
					o.ObserveInt64(made[i], n, metric.WithAttributeSet(s.set))
				}
			}
		})
		return nil
	}, all...)
	return err
}
