package service

import (
	"context"
	"errors"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// What is recorded of a reading is listed as that reading.
func TestTelemetryRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := &fake{}
	msg := new(devicev1.Telemetry)
	if err := msg.UnmarshalJSON([]byte(`{"event_id":"r1","temperature":21.5,"timestamp":1778068800,"door":{"open":true}}`)); err != nil {
		t.Fatal(err)
	}
	if err := NewDeviceEvents(f.devices()).RecordTelemetry(ctx, "devices/d1/data", nil, msg); err != nil {
		t.Fatal(err)
	}
	if f.readings[0].DeviceID != "d1" || f.readings[0].Humidity != nil {
		t.Errorf("saved %+v", f.readings[0])
	}
	reply, err := NewDeviceService(f.devices()).ListTelemetry(ctx, &devicev1.ListTelemetryRequest{DeviceId: "d1", PageToken: tokenOf(3)})
	if err != nil || len(reply.Telemetry) != 1 || !proto.Equal(reply.Telemetry[0], msg) || reply.NextPageToken != tokenOf(9) {
		t.Errorf("listed %v, %v", reply, err)
	}
	if f.page != (biz.Page{Size: 50, Before: 3}) {
		t.Errorf("page %+v", f.page)
	}
}

func TestTelemetryThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	good := &devicev1.Telemetry{Humidity: proto.Float64(1), Timestamp: timestamppb.Now()}
	events := NewDeviceEvents((&fake{}).devices())
	for name, err := range map[string]error{
		"other topic":  events.RecordTelemetry(ctx, "devices/data", nil, good),
		"no timestamp": events.RecordTelemetry(ctx, "devices/d1/data", nil, &devicev1.Telemetry{Humidity: proto.Float64(1)}),
		"no reading":   events.RecordTelemetry(ctx, "devices/d1/data", nil, &devicev1.Telemetry{Timestamp: timestamppb.Now()}),
	} {
		if kerrors.Code(err) != 400 {
			t.Errorf("%s: got %v, want a 400, which is not retried", name, err)
		}
	}
	err := NewDeviceEvents((&fake{fail: errFake}).devices()).RecordTelemetry(ctx, "devices/d1/data", nil, good)
	if !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
}

func TestListAlerts(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	at := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	f := &fake{alerts: []biz.Alert{{EventID: "a1", DeviceID: "d1", Kind: "temperature", Value: 61, Limit: 60, MeasuredAt: at}}}
	s := NewDeviceService(f.devices())
	want := &devicev1.Alert{EventId: "a1", DeviceId: "d1", Kind: "temperature", Value: 61, Limit: 60, Timestamp: timestamppb.New(at)}
	reply, err := s.ListAlerts(ctx, &devicev1.ListAlertsRequest{})
	if err != nil || len(reply.Alerts) != 1 || !proto.Equal(reply.Alerts[0], want) || reply.NextPageToken != tokenOf(9) {
		t.Errorf("got %v, %v", reply, err)
	}
	if _, err := s.ListAlerts(ctx, &devicev1.ListAlertsRequest{PageSize: -1}); kerrors.Code(err) != 400 {
		t.Errorf("page: %v", err)
	}
	if _, err := s.ListTelemetry(ctx, &devicev1.ListTelemetryRequest{PageSize: -1}); kerrors.Code(err) != 400 {
		t.Errorf("page: %v", err)
	}
	f.fail = errFake
	if _, err := s.ListAlerts(ctx, &devicev1.ListAlertsRequest{}); !errors.Is(err, errFake) {
		t.Errorf("alerts: %v", err)
	}
	if _, err := s.ListTelemetry(ctx, &devicev1.ListTelemetryRequest{}); !errors.Is(err, errFake) {
		t.Errorf("telemetry: %v", err)
	}
}
