package server

import (
	"fmt"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport/grpc"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
)

// NewGRPCServer opens the configured address and serves the gRPC API on it. The
// returned function closes the address again, in case the server never runs.
func NewGRPCServer(c *conf.Server, reports *service.ReportService, devices *service.DeviceService, logger log.Logger) (*grpc.Server, func(), error) {
	if c.GetGrpc() == nil {
		return nil, func() {}, nil
	}
	lis, err := listen(c.Grpc.Addr, conf.EnvGRPCAddr)
	if err != nil {
		return nil, nil, fmt.Errorf("gRPC server: %w", err)
	}
	srv := grpc.NewServer(
		grpc.Listener(lis),
		grpc.Address(lis.Addr().String()),
		grpc.Timeout(timeoutOf(c.Grpc.Timeout)),
		grpc.Middleware(requestMiddleware(logger)...),
	)
	reportv1.RegisterReportServiceServer(srv, reports)
	devicev1.RegisterDeviceServiceServer(srv, devices)
	return srv, func() { _ = lis.Close() }, nil
}
