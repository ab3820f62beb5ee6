package service

import (
	"context"

	"google.golang.org/protobuf/types/known/emptypb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

var _ devicev1.DeviceEventsMQTTServer = (*DeviceService)(nil)

// RecordTelemetry implements devicev1.DeviceEventsMQTTServer. It saves a reading and
// raises its alert, if any. Acknowledgement and retries are as for the events of
// ReportService.
func (s *DeviceService) RecordTelemetry(ctx context.Context, msg *devicev1.Telemetry) (*emptypb.Empty, error) {
	t := biz.Telemetry{
		DeviceID:    msg.DeviceId,
		EventID:     msg.EventId,
		Temperature: msg.Temperature,
		Humidity:    msg.Humidity,
		Sensors:     msg.Sensors.AsMap(),
	}
	if msg.Timestamp != nil {
		if msg.Timestamp.CheckValid() != nil {
			return nil, invalid("timestamp", "not within the years 1 to 9999 in UTC")
		}
		t.MeasuredAt = msg.Timestamp.AsTime()
	}
	return nil, s.usecase.Record(ctx, t)
}

// RecordHeartbeat implements devicev1.DeviceEventsMQTTServer. It records when a device
// was last online.
func (s *DeviceService) RecordHeartbeat(ctx context.Context, msg *devicev1.Heartbeat) (*emptypb.Empty, error) {
	return nil, s.usecase.Beat(ctx, msg.DeviceId)
}
