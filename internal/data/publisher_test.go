package data

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// fakeBroker records publishes; its other methods are never called.
type fakeBroker struct {
	broker.Broker
	fail error

	topic string
	body  any
	left  time.Duration
	codec string
	id    string
}

func (f *fakeBroker) Publish(ctx context.Context, topic string, msg *broker.Message, opts ...broker.PublishOption) error {
	options := broker.NewPublishOptions(opts...)
	f.topic, f.body, f.codec, f.id = topic, msg.Body, options.BodyCodec, msg.ID
	if deadline, ok := ctx.Deadline(); ok {
		f.left = time.Until(deadline)
	}
	return f.fail
}

// over returns a Broker without an outbox that holds nothing back.
func over(b broker.Broker) *Broker {
	hold := NewHold()
	hold.Until(nil)
	return &Broker{Broker: b, hold: hold}
}

func TestPublishedMessages(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	arguments, err := structpb.NewStruct(map[string]any{"delay": 5.0})
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		publish          func(event.ClientConn) error
		topic, codec, id string
		want             proto.Message
	}{
		"event": {
			func(b event.ClientConn) error { return NewReportPublisher(b).PublishEvent(ctx, eventReport(1)) },
			"reports/event", "proto", "e1",
			&reportv1.RealTimeWarehousingData{
				EventId: "e1", EventName: "login", ReportData: `{"a":"ü"}`, CreateTime: "2026-05-06T12:00:01.123456789Z",
			},
		},
		"status": {
			func(b event.ClientConn) error {
				return NewReportPublisher(b).PublishStatus(ctx, biz.StatusReport{
					EventID: "s1", DataName: "login", ReportType: "weather", Data: "x", ErrorReason: "unknown",
					ErrorHandling: "recorded", Status: 1, PartEvent: "part", PartDate: "2026-05-06",
				})
			},
			"reports/user", "proto", "s1",
			&reportv1.AcceptStatusReportData{
				EventId: "s1", DataName: "login", ReportType: "weather", ReportData: "x", ErrorReason: "unknown",
				ErrorHandling: "recorded", Status: 1, PartEvent: "part", PartDate: "2026-05-06",
			},
		},
		"alert": {
			func(b event.ClientConn) error {
				return NewDevicePublisher(b).PublishAlert(ctx, biz.Alert{EventID: "a1", DeviceID: "d1", Kind: "temperature", Value: 61, Limit: 60, MeasuredAt: time.Unix(1, 0)})
			},
			"alerts/temperature", "json", "a1",
			&devicev1.Alert{EventId: "a1", DeviceId: "d1", Kind: "temperature", Value: 61, Limit: 60, Timestamp: &timestamppb.Timestamp{Seconds: 1}},
		},
		"command": {
			func(b event.ClientConn) error {
				return NewDevicePublisher(b).PublishCommand(ctx, biz.Command{ID: "c1", DeviceID: "d1", Name: "restart", Arguments: map[string]any{"delay": 5.0}})
			},
			"devices/d1/commands", "json", "c1",
			&devicev1.Command{CommandId: "c1", DeviceId: "d1", Name: "restart", Arguments: arguments},
		},
	} {
		fake := &fakeBroker{}
		if err := test.publish(NewClientConn(over(fake))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		body, ok := fake.body.(proto.Message)
		if !ok || !proto.Equal(body, test.want) {
			t.Errorf("%s: body %v, want %v", name, fake.body, test.want)
		}
		if fake.topic != test.topic || fake.codec != test.codec || fake.id != test.id {
			t.Errorf("%s: topic %q codec %q id %q, want %q, %q, %q", name, fake.topic, fake.codec, fake.id, test.topic, test.codec, test.id)
		}
	}
}

// The collector runs on any broker of kratos-transport: the reports that are posted
// are published through it.
func TestCollectorOnAnotherBroker(t *testing.T) {
	t.Parallel()
	fake := &fakeBroker{}
	collector := biz.NewReportUsecase(NewReportPublisher(mqttbroker.NewClientConn(fake)), nil, log.DefaultLogger)
	report := biz.Report{Type: biz.ReportEvent, AppID: "a", AppKey: "k", EventName: "login", Content: "{}"}
	receipt, err := collector.Post(t.Context(), report)
	if err != nil {
		t.Fatal(err)
	}
	body, ok := fake.body.(*reportv1.RealTimeWarehousingData)
	if !ok || fake.topic != "reports/event" || fake.id != receipt.EventID || body.EventId != receipt.EventID || body.ReportData != "{}" {
		t.Errorf("%+v published as %+v", receipt, fake)
	}
}

func TestPublishErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		code          int
		cause, reason string
	}{
		{503, "X", "BROKER_UNAVAILABLE"},
		{503, "OUTBOX_FULL", "OUTBOX_FULL"},
		{503, "OUTBOX_FAILED", "OUTBOX_FAILED"},
		{504, "X", "BROKER_TIMEOUT"},
		{413, "X", "PUBLISH_REFUSED"},
		{403, "X", "PUBLISH_REFUSED"},
		{500, "X", "PUBLISH_REFUSED"},
	} {
		code, reason := test.code, test.reason
		cause := kerrors.New(code, test.cause, "mqtt://secret.example")
		err := NewReportPublisher(NewClientConn(over(&fakeBroker{fail: cause}))).PublishEvent(context.Background(), eventReport(1))
		e := kerrors.FromError(err)
		if e == nil || int(e.Code) != code || e.Reason != reason || strings.Contains(e.Message, "secret") {
			t.Errorf("%d: got %v", code, err)
		}
		if !errors.Is(err, cause) {
			t.Errorf("%d: the cause is lost: %v", code, err)
		}
	}
}

// An error must tell an event that was not accepted from one that may still arrive,
// because posting the latter again makes two of it. Its reason names the outbox, so
// that an operator looks there.
func TestAFailedOutboxIsSaidToBeOne(t *testing.T) {
	t.Parallel()
	const open, nothing = "may still arrive", "was not accepted"
	for _, test := range []struct {
		cause event.Error
		code  int
		said  string
	}{
		{event.Error{Reason: event.ReasonTimeout, MayHaveBeenSent: true}, 504, open},
		{event.Error{Reason: event.ReasonOutboxFailed, MayHaveBeenSent: true}, 503, open},
		{event.Error{Reason: event.ReasonOutboxFailed}, 503, nothing},
	} {
		store, err := outbox.NewMemory(outbox.MemoryOptions{})
		if err != nil {
			t.Fatal(err)
		}
		b := &Broker{Broker: &fakeBroker{fail: &test.cause}, store: store}
		e := kerrors.FromError(NewReportPublisher(NewClientConn(b)).PublishEvent(t.Context(), eventReport(1)))
		if int(e.Code) != test.code || e.Reason != "OUTBOX_FAILED" || !strings.Contains(e.Message, test.said) {
			t.Errorf("%v: got %v, want %d that says %q", &test.cause, e, test.code, test.said)
		}
	}
}

func TestPublishLeavesTimeForTheAnswer(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	fake := &fakeBroker{}
	if err := NewReportPublisher(NewClientConn(over(fake))).PublishEvent(ctx, eventReport(1)); err != nil {
		t.Fatal(err)
	}
	if fake.left > 54*time.Minute || fake.left < 53*time.Minute {
		t.Errorf("%s of an hour for publishing", fake.left)
	}
}

func TestPublishWaitsForTheSubscriptions(t *testing.T) {
	t.Parallel()
	fake := &fakeBroker{}
	b := &Broker{Broker: fake, hold: NewHold()}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	publisher := NewReportPublisher(NewClientConn(b))
	err := publisher.PublishEvent(ctx, eventReport(1))
	if kerrors.Code(err) != 503 || kerrors.Reason(err) != "NOT_READY" || fake.topic != "" {
		t.Errorf("got %v, published on %q", err, fake.topic)
	}
	b.store, err = outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.PublishEvent(t.Context(), eventReport(1)); err != nil || fake.topic == "" {
		t.Errorf("an outbox waits too: %v", err)
	}
}

// A device id that cannot be a topic level is a 400 with the field and the rule,
// whichever layer detects it.
func TestDevicesThatCannotBeLevels(t *testing.T) {
	t.Parallel()
	for id, problem := range map[string]string{
		"$SYS":         "begins with $: levels that begin with $",
		"a\u202eb":     "contains the hidden character U+202E: ",
		"a\nb":         "contains the control character U+000A: ",
		"a\u2028b":     "contains the hidden character U+2028: ",
		"a\U0001FFFFb": "contains the non-character U+1FFFF: ",
	} {
		fake := &fakeBroker{}
		devices := biz.NewDeviceUsecase(nil, nil, NewDevicePublisher(NewClientConn(over(fake))), biz.Limits{})
		_, err := devices.Send(t.Context(), biz.Command{DeviceID: id, Name: "open"})
		e := kerrors.FromError(err)
		if e == nil || e.Code != 400 || e.Reason != "VALIDATION_FAILED" || !strings.HasPrefix(e.Metadata["device_id"], problem) || !strings.HasPrefix(e.Message, "device_id: "+problem) {
			t.Errorf("%q: %v", id, err)
		}
		if fake.body != nil {
			t.Errorf("%q: sent", id)
		}
	}
}
