package service

import (
	"context"

	"github.com/tx7do/kratos-transport/broker"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	"github.com/kratos-mqtt/kratos-mqtt/api/topic"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// DeviceEvents handles what devices publish, under the same rules as
// ReportEvents.
type DeviceEvents struct {
	usecase *biz.DeviceUsecase
}

// NewDeviceEvents returns the handlers over their use case.
func NewDeviceEvents(usecase *biz.DeviceUsecase) *DeviceEvents {
	return &DeviceEvents{usecase: usecase}
}

// RecordTelemetry saves a reading of the device that its topic names, and
// raises the alert that it deserves.
func (e *DeviceEvents) RecordTelemetry(ctx context.Context, name string, _ broker.Headers, msg *devicev1.Telemetry) error {
	device, ok := topic.DeviceID(name)
	if !ok {
		return invalid("topic", "names no device")
	}
	t := biz.Telemetry{
		DeviceID:    device,
		EventID:     msg.EventId,
		Temperature: msg.Temperature,
		Humidity:    msg.Humidity,
		Sensors:     msg.Sensors.AsMap(),
	}
	if msg.Timestamp != nil {
		t.MeasuredAt = msg.Timestamp.AsTime()
	}
	return e.usecase.Record(ctx, t)
}
