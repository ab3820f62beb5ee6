package service

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

// DeviceService implements devicev1.DeviceServiceServer, devicev1.DeviceServiceHTTPServer
// and devicev1.DeviceEventsMQTTServer.
type DeviceService struct {
	devicev1.UnimplementedDeviceServiceServer
	usecase *biz.DeviceUsecase
}

// NewDeviceService returns a service for the given use case.
func NewDeviceService(usecase *biz.DeviceUsecase) *DeviceService {
	return &DeviceService{usecase: usecase}
}

// ListTelemetry implements devicev1.DeviceServiceServer.
func (s *DeviceService) ListTelemetry(ctx context.Context, req *devicev1.ListTelemetryRequest) (*devicev1.ListTelemetryReply, error) {
	page, err := pageOf(req)
	if err != nil {
		return nil, err
	}
	readings, next, err := s.usecase.ListTelemetry(ctx, req.DeviceId, page)
	if err != nil {
		return nil, err
	}
	reply := &devicev1.ListTelemetryReply{NextPageToken: tokenOf(next)}
	for _, t := range readings {
		msg, err := telemetryMessage(t)
		if err != nil {
			return nil, err
		}
		reply.Telemetry = append(reply.Telemetry, msg)
	}
	return reply, nil
}

// ListAlerts implements devicev1.DeviceServiceServer.
func (s *DeviceService) ListAlerts(ctx context.Context, req *devicev1.ListAlertsRequest) (*devicev1.ListAlertsReply, error) {
	page, err := pageOf(req)
	if err != nil {
		return nil, err
	}
	alerts, next, err := s.usecase.ListAlerts(ctx, page)
	if err != nil {
		return nil, err
	}
	reply := &devicev1.ListAlertsReply{NextPageToken: tokenOf(next)}
	for _, a := range alerts {
		reply.Alerts = append(reply.Alerts, &devicev1.Alert{
			EventId:   a.EventID,
			DeviceId:  a.DeviceID,
			Kind:      a.Kind,
			Value:     a.Value,
			Limit:     a.Limit,
			Timestamp: timestamppb.New(a.MeasuredAt),
		})
	}
	return reply, nil
}

// GetDeviceState implements devicev1.DeviceServiceServer and
// devicev1.DeviceEventsMQTTServer.
func (s *DeviceService) GetDeviceState(ctx context.Context, req *devicev1.GetDeviceStateRequest) (*devicev1.DeviceState, error) {
	state, err := s.usecase.State(ctx, req.DeviceId)
	if err != nil {
		return nil, err
	}
	reply := &devicev1.DeviceState{DeviceId: state.DeviceID, Online: state.Online}
	if !state.LastSeen.IsZero() {
		reply.LastSeen = timestamppb.New(state.LastSeen)
	}
	if state.LastTelemetry == nil {
		return reply, nil
	}
	reply.LastTelemetry, err = telemetryMessage(*state.LastTelemetry)
	return reply, err
}

// SendCommand implements devicev1.DeviceServiceServer.
func (s *DeviceService) SendCommand(ctx context.Context, req *devicev1.SendCommandRequest) (*devicev1.SendCommandReply, error) {
	id, err := s.usecase.Send(ctx, biz.Command{DeviceID: req.DeviceId, Name: req.Name, Arguments: req.Arguments.AsMap()})
	if err != nil {
		return nil, err
	}
	return &devicev1.SendCommandReply{CommandId: id}, nil
}

func telemetryMessage(t biz.Telemetry) (*devicev1.Telemetry, error) {
	msg := &devicev1.Telemetry{
		EventId:     t.EventID,
		DeviceId:    t.DeviceID,
		Temperature: t.Temperature,
		Humidity:    t.Humidity,
		Timestamp:   timestamppb.New(t.MeasuredAt),
	}
	if len(t.Sensors) == 0 {
		return msg, nil
	}
	var err error
	if msg.Sensors, err = structpb.NewStruct(t.Sensors); err != nil {
		return nil, fmt.Errorf("sensors of reading %s: %w", t.EventID, err)
	}
	return msg, nil
}
