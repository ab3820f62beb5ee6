package data

import (
	"context"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/timestamppb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/api/topic"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// atLeastOnce is QoS 1: a message has arrived with the broker's PUBACK. The
// outbox waits for it, or without one the caller.
const atLeastOnce = 1

type publisher struct{ broker *Broker }

// NewReportPublisher publishes reports to the broker.
func NewReportPublisher(b *Broker) biz.ReportPublisher { return &publisher{broker: b} }

// NewAlertPublisher publishes alerts to the broker.
func NewAlertPublisher(b *Broker) biz.AlertPublisher { return &publisher{broker: b} }

// PublishEvent implements biz.ReportPublisher.
func (p *publisher) PublishEvent(ctx context.Context, e biz.EventReport) error {
	return p.publish(ctx, topic.ReportEvents, &reportv1.RealTimeWarehousingData{
		EventId:    e.EventID,
		EventName:  e.EventName,
		ReportData: e.Data,
		CreateTime: formatTime(e.CreateTime),
	})
}

// PublishStatus implements biz.ReportPublisher.
func (p *publisher) PublishStatus(ctx context.Context, s biz.StatusReport) error {
	return p.publish(ctx, topic.ReportStatuses, &reportv1.AcceptStatusReportData{
		EventId:       s.EventID,
		DataName:      s.DataName,
		ReportType:    s.ReportType,
		ReportData:    s.Data,
		ErrorReason:   s.ErrorReason,
		ErrorHandling: s.ErrorHandling,
		Status:        s.Status,
		PartEvent:     s.PartEvent,
		PartDate:      s.PartDate,
	})
}

// PublishAlert implements biz.AlertPublisher. Alerts are JSON, as telemetry is:
// front ends and devices read them.
func (p *publisher) PublishAlert(ctx context.Context, a biz.Alert) error {
	return p.publish(ctx, topic.Alerts(a.Kind), &devicev1.Alert{
		EventId:   a.EventID,
		DeviceId:  a.DeviceID,
		Kind:      a.Kind,
		Value:     a.Value,
		Limit:     a.Limit,
		Timestamp: timestamppb.New(a.MeasuredAt),
	}, broker.WithPublishBodyCodec("json"))
}

func (p *publisher) publish(ctx context.Context, topic string, body any, opts ...broker.PublishOption) error {
	ctx, cancel := withinAnswer(ctx)
	defer cancel()
	opts = append(opts, mqttbroker.WithPublishQos(atLeastOnce))
	return publishError(p.broker.Publish(ctx, topic, broker.NewMessage(body), opts...))
}

// withinAnswer leaves a tenth of the time that is left for the answer, so that
// a caller whose deadline is that of ctx still hears it.
func withinAnswer(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)*9/10)
}

// publishError says what a failed publish means to a caller and keeps its
// details, such as the broker's address, for the log.
func publishError(err error) error {
	if err == nil {
		return nil
	}
	switch code, reason := errors.Code(err), errors.Reason(err); {
	case reason == string(event.ReasonOutboxFull):
		return errors.ServiceUnavailable(reportv1.ErrorReason_OUTBOX_FULL.String(),
			"too much waits for the broker already, nothing was accepted; try again later").WithCause(err)
	case reason == string(event.ReasonOutboxFailed):
		return errors.ServiceUnavailable(reportv1.ErrorReason_OUTBOX_FAILED.String(),
			"the event could not be kept, nothing was accepted").WithCause(err)
	case reason == reportv1.ErrorReason_NOT_READY.String():
		return err
	case code == 503:
		return errors.ServiceUnavailable(reportv1.ErrorReason_BROKER_UNAVAILABLE.String(),
			"no connection to the broker in time, nothing was accepted").WithCause(err)
	case code == 504:
		return errors.GatewayTimeout(reportv1.ErrorReason_BROKER_TIMEOUT.String(),
			"no confirmation from the broker in time, the event may still arrive").WithCause(err)
	default:
		return errors.New(code, reportv1.ErrorReason_PUBLISH_REFUSED.String(),
			"the event was not accepted").WithCause(err)
	}
}
