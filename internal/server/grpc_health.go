package server

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/observe"
)

// healthWatch is how often a watched state is checked.
const healthWatch = time.Second

// grpcHealth answers gRPC's health checks: SERVING while the process is ready or degraded.
type grpcHealth struct {
	healthpb.UnimplementedHealthServer
	telemetry *Telemetry
}

func (h grpcHealth) state(service string) (healthpb.HealthCheckResponse_ServingStatus, error) {
	switch service {
	case "", reportv1.ReportService_ServiceDesc.ServiceName, devicev1.DeviceService_ServiceDesc.ServiceName:
	default:
		return healthpb.HealthCheckResponse_SERVICE_UNKNOWN, status.Error(codes.NotFound, "unknown service")
	}
	if h.telemetry.Check().Status == observe.NotReady {
		return healthpb.HealthCheckResponse_NOT_SERVING, nil
	}
	return healthpb.HealthCheckResponse_SERVING, nil
}

// Check implements healthpb.HealthServer.
func (h grpcHealth) Check(_ context.Context, in *healthpb.HealthCheckRequest) (*healthpb.HealthCheckResponse, error) {
	state, err := h.state(in.GetService())
	if err != nil {
		return nil, err
	}
	return &healthpb.HealthCheckResponse{Status: state}, nil
}

// Watch implements healthpb.HealthServer.
func (h grpcHealth) Watch(in *healthpb.HealthCheckRequest, stream healthpb.Health_WatchServer) error {
	tick := time.NewTicker(healthWatch)
	defer tick.Stop()
	last := healthpb.HealthCheckResponse_ServingStatus(-1)
	for {
		state, _ := h.state(in.GetService()) // an unknown service is a state here
		if state != last {
			if err := stream.Send(&healthpb.HealthCheckResponse{Status: state}); err != nil {
				return err
			}
			last = state
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return status.FromContextError(stream.Context().Err()).Err()
		}
	}
}
