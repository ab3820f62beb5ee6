package observe

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/semconv"
)

// maxAge is the highest age that is measured: a sender says when it published, and one
// absurd time would spoil the sum.
const maxAge = 30 * 24 * time.Hour

// OnPublish implements event.PublishHook.
func (m *Metrics) OnPublish(info event.PublishInfo) {
	ctx, with := contextOf(info.Context), m.labels.of(m, label{operation: semconv.Send, template: info.Template, err: semconv.ErrorTypeOf(info.Err)})
	m.operationDuration.Record(ctx, info.Duration.Seconds(), with.record...)
	with.counts[sent].Add(int64(info.Attempts))
}

// OnRelay implements event.RelayHook.
func (m *Metrics) OnRelay(info event.RelayInfo) {
	m.labels.of(m, label{operation: semconv.Send, err: semconv.ErrorTypeOf(info.Err)}).counts[sent].Add(1)
}

// OnHandle implements event.HandleHook.
func (m *Metrics) OnHandle(info event.HandleInfo) {
	ctx, with := contextOf(info.Context), m.labels.of(m, process(&info.Delivery, info.Err))
	m.processDuration.Record(ctx, info.Duration.Seconds(), with.record...)
	if info.Attempt <= 1 {
		with.counts[consumed].Add(1)
	}
	if info.Batch > 0 {
		m.batchSize.Record(ctx, int64(info.Batch), m.labels.of(m, process(&info.Delivery, nil)).record...)
	}
	if info.Err != nil || info.SentAt.IsZero() {
		return
	}
	// Clocks differ: a message cannot be younger than nothing.
	if age := max(0, time.Since(info.SentAt)); age <= maxAge {
		m.messageAge.Record(ctx, age.Seconds(), with.record...)
	}
}

// OnRetry implements event.RetryHook.
func (m *Metrics) OnRetry(info event.RetryInfo) {
	m.labels.of(m, process(&info.Delivery, info.Err)).counts[retried].Add(1)
}

// OnDeadLetter implements event.DeadLetterHook.
func (m *Metrics) OnDeadLetter(info event.DeadLetterInfo) {
	m.labels.of(m, process(&info.Delivery, info.Err)).counts[deadLettered].Add(1)
}

// OnPark implements event.ParkHook.
func (m *Metrics) OnPark(info event.ParkInfo) {
	m.labels.of(m, process(&info.Delivery, info.Err)).counts[parked].Add(1)
}

// OnConnectAttempt implements event.ConnectAttemptHook.
func (m *Metrics) OnConnectAttempt(info event.ConnectAttemptInfo) {
	if info.Err != nil {
		m.labels.of(m, label{client: info.ClientID, err: semconv.ConnectErrorTypeOf(info.Err)}).counts[notConnected].Add(1)
	}
}

// OnConnectionLost implements event.ConnectionLostHook.
func (m *Metrics) OnConnectionLost(info event.ConnectionLostInfo) {
	m.labels.of(m, label{client: info.ClientID, loss: info.Kind}).counts[lost].Add(1)
}

func contextOf(ctx context.Context) context.Context {
	if ctx == nil {
		return context.Background()
	}
	return ctx
}

func process(d *event.Delivery, err error) label {
	return label{operation: semconv.Process, filter: d.Filter, template: d.Template, name: d.Operation, err: semconv.ErrorTypeOf(err)}
}

// attributes returns the attributes of a label.
func (l label) attributes(system []attribute.KeyValue) []attribute.KeyValue {
	list := append([]attribute.KeyValue(nil), system...)
	switch l.operation {
	case semconv.Send:
		list = append(list, semconv.Operation(semconv.Send)...)
		if l.template != "" {
			list = append(list, semconv.Template.String(l.template))
		}
	case semconv.Process:
		list = append(list, semconv.Operation(semconv.Process)...)
		list = append(list, semconv.Subscription(l.filter, l.template, l.name)...)
	}
	if l.client != "" {
		list = append(list, semconv.ClientID.String(l.client))
	}
	if l.loss != "" {
		list = append(list, attrLossKind.String(string(l.loss)))
	}
	if l.err != "" {
		list = append(list, semconv.ErrorType.String(l.err))
	}
	return list
}
