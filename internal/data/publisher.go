package data

import (
	"context"
	stderrors "errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// NewClientConn returns the connection that generated clients publish through.
func NewClientConn(b *Broker) event.ClientConn { return mqttbroker.NewClientConn(b) }

// reportPublisher publishes at QoS 1, as the .proto file declares: a message is
// delivered to the broker once its PUBACK arrives. With an outbox the outbox waits for
// the PUBACK, without one the caller.
type reportPublisher struct {
	client reportv1.ReportEventsMQTTClient
}

// NewReportPublisher returns a publisher of reports over any connection.
func NewReportPublisher(cc event.ClientConn) biz.ReportPublisher {
	return &reportPublisher{client: reportv1.NewReportEventsMQTTClient(cc)}
}

// PublishEvent implements biz.ReportPublisher.
func (p *reportPublisher) PublishEvent(ctx context.Context, e biz.EventReport) error {
	return publish(ctx, p.client.SaveEventReport, &reportv1.RealTimeWarehousingData{
		EventId:    e.EventID,
		EventName:  e.EventName,
		ReportData: e.Data,
		CreateTime: formatTime(e.CreateTime),
	})
}

// PublishStatus implements biz.ReportPublisher.
func (p *reportPublisher) PublishStatus(ctx context.Context, s biz.StatusReport) error {
	return publish(ctx, p.client.SaveUserReport, &reportv1.AcceptStatusReportData{
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

type devicePublisher struct {
	client devicev1.DeviceEventsMQTTClient
}

// NewDevicePublisher returns a publisher of alerts and commands over any connection.
func NewDevicePublisher(cc event.ClientConn) biz.DevicePublisher {
	return &devicePublisher{client: devicev1.NewDeviceEventsMQTTClient(cc)}
}

// PublishAlert implements biz.DevicePublisher.
func (p *devicePublisher) PublishAlert(ctx context.Context, a biz.Alert) error {
	return publish(ctx, p.client.RaiseAlert, &devicev1.Alert{
		EventId:   a.EventID,
		DeviceId:  a.DeviceID,
		Kind:      a.Kind,
		Value:     a.Value,
		Limit:     a.Limit,
		Timestamp: timestamppb.New(a.MeasuredAt),
	})
}

// PublishCommand implements biz.DevicePublisher.
func (p *devicePublisher) PublishCommand(ctx context.Context, c biz.Command) error {
	arguments, err := structpb.NewStruct(c.Arguments)
	if err != nil {
		return fmt.Errorf("arguments of command %s: %w", c.ID, err)
	}
	return publish(ctx, p.client.SendCommand, &devicev1.Command{
		CommandId: c.ID,
		DeviceId:  c.DeviceID,
		Name:      c.Name,
		Arguments: arguments,
	})
}

// publish calls a method of a generated client.
func publish[T any](ctx context.Context, method func(context.Context, T, ...event.CallOption) error, msg T) error {
	ctx, cancel := withinAnswer(ctx)
	defer cancel()
	return publishError(method(ctx, msg))
}

// withinAnswer reserves a tenth of the remaining time for the reply, so that a caller
// with the deadline of ctx still receives it.
func withinAnswer(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, time.Until(deadline)*9/10)
}

// publishError translates the error of a publish for a caller. Details, such as the
// address of the broker, are kept as the cause, for the log.
func publishError(err error) error {
	if err == nil {
		return nil
	}
	if p, ok := stderrors.AsType[*event.ParameterError](err); ok && p.Field != "" {
		// Fields of messages have the names of the fields of their requests.
		problem := strings.TrimSpace(p.Problem+" "+p.Character) + ": " + p.Rule
		return errors.BadRequest(reportv1.ErrorReason_VALIDATION_FAILED.String(), p.Field+": "+problem).
			WithMetadata(map[string]string{p.Field: problem}).WithCause(err)
	}
	switch code, reason := errors.Code(err), errors.Reason(err); {
	case reason == string(event.ReasonOutboxFull):
		return errors.ServiceUnavailable(reportv1.ErrorReason_OUTBOX_FULL.String(),
			"too many events wait for the broker; the event was not accepted, try again later").WithCause(err)
	case reason == string(event.ReasonOutboxFailed) && code == 503:
		said := "the event could not be stored and was not accepted"
		if e, ok := stderrors.AsType[*event.Error](err); !ok || e.MayHaveBeenSent {
			said = "the outbox failed; the event may still arrive"
		}
		return errors.ServiceUnavailable(reportv1.ErrorReason_OUTBOX_FAILED.String(), said).WithCause(err)
	case reason == reportv1.ErrorReason_NOT_READY.String(), reason == reportv1.ErrorReason_OUTBOX_FAILED.String(),
		reason == reportv1.ErrorReason_SAVER_BEHIND.String():
		return err
	case code == 503:
		return errors.ServiceUnavailable(reportv1.ErrorReason_BROKER_UNAVAILABLE.String(),
			"no connection to the broker in time; the event was not accepted").WithCause(err)
	case code == 504:
		return errors.GatewayTimeout(reportv1.ErrorReason_BROKER_TIMEOUT.String(),
			"no confirmation from the broker in time; the event may still arrive").WithCause(err)
	default:
		return errors.New(code, reportv1.ErrorReason_PUBLISH_REFUSED.String(),
			"the event was not accepted").WithCause(err)
	}
}
