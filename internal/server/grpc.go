package server

import (
	"fmt"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport/grpc"
	"golang.org/x/net/netutil"
	ggrpc "google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/bounds"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
)

// NewGRPCServer listens on the configured address and serves the gRPC API on it. The
// returned function closes the listener, in case the server never runs.
func NewGRPCServer(c *conf.Server, room *Room, telemetry *Telemetry, reports *service.ReportService, devices *service.DeviceService, logger log.Logger) (*grpc.Server, func(), error) {
	if c.GetGrpc() == nil {
		return nil, func() {}, nil
	}
	lis, err := listen(c.Grpc.Addr, conf.EnvGRPCAddr)
	if err != nil {
		return nil, nil, fmt.Errorf("gRPC server: %w", err)
	}
	timeout := timeoutOf(c.Grpc.Timeout)
	door := newDoor(c.Grpc, timeout)
	opts := []grpc.ServerOption{
		grpc.Listener(netutil.LimitListener(lis, maxConnections)),
		grpc.Address(lis.Addr().String()),
		grpc.Timeout(timeout),
		grpc.CustomHealth(),
		grpc.Middleware(requestMiddleware(room, telemetry, logger)...),
		grpc.Options(append(limits(timeout), ggrpc.InTapHandle(door.enter), ggrpc.UnaryInterceptor(door.answers))...),
	}
	if !c.Grpc.Reflection {
		opts = append(opts, grpc.DisableReflection())
	}
	srv := grpc.NewServer(opts...)
	healthpb.RegisterHealthServer(srv, grpcHealth{telemetry: telemetry})
	registrar := &bounded{srv, room}
	reportv1.RegisterReportServiceServer(registrar, reports)
	devicev1.RegisterDeviceServiceServer(registrar, devices)
	return srv, func() { _ = lis.Close() }, nil
}

// maxStreams is how many concurrent calls one connection may have.
const maxStreams = 100

// limits are the limits of HTTP, applied to gRPC. A compressed message is bounded
// again once it is decompressed.
func limits(timeout time.Duration) []ggrpc.ServerOption {
	return []ggrpc.ServerOption{
		ggrpc.MaxRecvMsgSize(maxBody),
		ggrpc.MaxHeaderListSize(maxHeader),
		ggrpc.MaxConcurrentStreams(maxStreams),
		ggrpc.Creds(newTimed(2 * timeout)),
		ggrpc.StatsHandler(queued{}),
		ggrpc.ConnectionTimeout(timeout),
		ggrpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionIdle: 2 * idleTime, Time: idleTime, Timeout: timeout}),
		ggrpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
		ggrpc.ForceServerCodecV2(boundedCodec{encoding.GetCodecV2(bounds.Proto)}),
	}
}
