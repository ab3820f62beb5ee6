package service

import (
	"context"
	"errors"
	"math"
	"reflect"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// A recorded reading is listed unchanged.
func TestTelemetryRoundTrip(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := &fake{}
	msg := new(devicev1.Telemetry)
	if err := msg.UnmarshalJSON([]byte(`{"event_id":"r1","temperature":21.5,"timestamp":1778068800,"door":{"open":true}}`)); err != nil {
		t.Fatal(err)
	}
	msg.DeviceId = "d1" // from the topic
	if _, err := NewDeviceService(f.devices()).RecordTelemetry(ctx, msg); err != nil {
		t.Fatal(err)
	}
	if f.readings[0].DeviceID != "d1" || f.readings[0].Humidity != nil {
		t.Errorf("saved %+v", f.readings[0])
	}
	reply, err := NewDeviceService(f.devices()).ListTelemetry(ctx, &devicev1.ListTelemetryRequest{DeviceId: "d1", PageToken: tokenOf(3)})
	if err != nil || len(reply.Telemetry) != 1 || !proto.Equal(reply.Telemetry[0], msg) || reply.NextPageToken != tokenOf(9) {
		t.Errorf("listed %v, %v", reply, err)
	}
	if f.page != (biz.Page{Size: 50, Bytes: maxPageBytes, Before: 3}) {
		t.Errorf("page %+v", f.page)
	}
}

func TestTelemetryThatCannotBeRecorded(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	good := &devicev1.Telemetry{DeviceId: "d1", Humidity: proto.Float64(1), Timestamp: timestamppb.Now()}
	events := NewDeviceService((&fake{}).devices())
	for name, msg := range map[string]*devicev1.Telemetry{
		"no device":    {Humidity: proto.Float64(1), Timestamp: timestamppb.Now()},
		"no timestamp": {DeviceId: "d1", Humidity: proto.Float64(1)},
		"no reading":   {DeviceId: "d1", Timestamp: timestamppb.Now()},
		"year 10000":   {DeviceId: "d1", Humidity: proto.Float64(1), Timestamp: &timestamppb.Timestamp{Seconds: 253402300800}}, // stores.md 12
		// A protobuf timestamp may have any number of seconds; no list could show these.
		"1e15 s":   {DeviceId: "d1", Humidity: proto.Float64(1), Timestamp: &timestamppb.Timestamp{Seconds: 1e15}},
		"before 1": {DeviceId: "d1", Humidity: proto.Float64(1), Timestamp: &timestamppb.Timestamp{Seconds: -1e15}},
		"nanos":    {DeviceId: "d1", Humidity: proto.Float64(1), Timestamp: &timestamppb.Timestamp{Nanos: -1}},
		"overflow": {DeviceId: "d1", Humidity: proto.Float64(1), Timestamp: &timestamppb.Timestamp{Seconds: math.MaxInt64}},
	} {
		if _, err := events.RecordTelemetry(ctx, msg); kerrors.Code(err) != 400 {
			t.Errorf("%s: got %v, want a 400, which is not retried", name, err)
		}
	}
	_, err := NewDeviceService((&fake{fail: errFake}).devices()).RecordTelemetry(ctx, good)
	if !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
}

func TestDeviceState(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	at := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	f := &fake{}
	s := NewDeviceService(f.devices())
	req := &devicev1.GetDeviceStateRequest{DeviceId: "d1"}
	if got, err := s.GetDeviceState(ctx, req); err != nil || !proto.Equal(got, &devicev1.DeviceState{DeviceId: "d1"}) {
		t.Errorf("unknown device: %v, %v", got, err)
	}
	if _, err := s.RecordHeartbeat(ctx, &devicev1.Heartbeat{DeviceId: "d1"}); err != nil {
		t.Fatal(err)
	}
	f.readings = []biz.Telemetry{{DeviceID: "d1", EventID: "r1", Temperature: new(20.0), MeasuredAt: at}}
	want := &devicev1.DeviceState{
		DeviceId: "d1", Online: true, LastSeen: timestamppb.New(f.seen),
		LastTelemetry: &devicev1.Telemetry{DeviceId: "d1", EventId: "r1", Temperature: proto.Float64(20), Timestamp: timestamppb.New(at)},
	}
	if got, err := s.GetDeviceState(ctx, req); err != nil || !proto.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	f.fail = errFake
	if _, err := s.GetDeviceState(ctx, req); !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
	if _, err := s.RecordHeartbeat(ctx, &devicev1.Heartbeat{DeviceId: "d1"}); !errors.Is(err, errFake) {
		t.Errorf("database down: %v", err)
	}
}

func TestSendCommand(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	f := &fake{}
	s := NewDeviceService(f.devices())
	arguments, err := structpb.NewStruct(map[string]any{"delay": 5.0})
	if err != nil {
		t.Fatal(err)
	}
	reply, err := s.SendCommand(ctx, &devicev1.SendCommandRequest{DeviceId: "d1", Name: "restart", Arguments: arguments})
	want := biz.Command{DeviceID: "d1", Name: "restart", Arguments: map[string]any{"delay": 5.0}}
	want.ID = reply.GetCommandId()
	if err != nil || want.ID == "" || !reflect.DeepEqual(f.commands, []biz.Command{want}) {
		t.Errorf("published %+v, %v", f.commands, err)
	}
	if _, err := s.SendCommand(ctx, &devicev1.SendCommandRequest{}); kerrors.Code(err) != 400 {
		t.Errorf("invalid: %v", err)
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

// Recorded readings are listed in a form that all protobuf libraries can read. All
// except that of Go refuse more than 100 nested messages, so that one reading made the
// whole list unreadable for them.
func TestNestedReadingsAreReadByEverybody(t *testing.T) {
	t.Parallel()
	for name, inner := range map[string]func(any) any{
		"objects": func(v any) any { return map[string]any{"a": v} },
		"lists":   func(v any) any { return []any{v} },
	} {
		var value any = 1.0
		for range 29 {
			value = inner(value)
		}
		record := func(value any) (*fake, error) {
			sensors, err := structpb.NewStruct(map[string]any{"a": value})
			if err != nil {
				t.Fatal(err)
			}
			f := &fake{}
			_, err = NewDeviceService(f.devices()).RecordTelemetry(t.Context(), &devicev1.Telemetry{DeviceId: "d1", Sensors: sensors, Timestamp: timestamppb.Now()})
			return f, err
		}
		f, err := record(inner(value))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		reply, err := NewDeviceService(f.devices()).ListTelemetry(t.Context(), &devicev1.ListTelemetryRequest{DeviceId: "d1"})
		if err != nil || len(reply.Telemetry) != 1 {
			t.Fatal(reply, err)
		}
		data, err := proto.Marshal(reply)
		if err != nil {
			t.Fatal(err)
		}
		if err := (proto.UnmarshalOptions{RecursionLimit: 100}).Unmarshal(data, reply); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := record(inner(inner(value))); kerrors.Code(err) != 400 {
			t.Errorf("%s: nested deeper: %v", name, err)
		}
	}
}
