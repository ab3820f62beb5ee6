package server

import (
	"context"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// serveGRPC runs the gRPC server over s and returns a client of it.
func serveGRPC(t *testing.T, s *stub) reportv1.ReportServiceClient {
	t.Helper()
	return reportv1.NewReportServiceClient(serveGRPCWith(t, s, NewRoom(), &conf.Server_GRPC{}))
}

// serveGRPCWith is serveGRPC with a room and settings. The default timeout is a minute.
func serveGRPCWith(t *testing.T, s *stub, room *Room, c *conf.Server_GRPC) *grpc.ClientConn {
	t.Helper()
	return serveGRPCOf(t, s, room, newTelemetry(t), c)
}

// serveGRPCOf is serveGRPCWith with the state of a process.
func serveGRPCOf(t *testing.T, s *stub, room *Room, telemetry *Telemetry, c *conf.Server_GRPC) *grpc.ClientConn {
	t.Helper()
	reports, devices := s.services()
	if c.Addr = "127.0.0.1:0"; c.Timeout == nil {
		c.Timeout = durationpb.New(time.Minute)
	}
	srv, cleanup, err := NewGRPCServer(&conf.Server{Grpc: c}, room, telemetry, reports, devices, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	endpoint, err := srv.Endpoint()
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	conn, err := grpc.NewClient(endpoint.Host, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func TestGRPCAnswers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	valid := &reportv1.PostReportRequest{ReportType: "event", AppId: "a", AppKey: "k", EventName: "e", Content: "{}"}
	client := serveGRPC(t, &stub{})
	reply, err := client.PostReport(ctx, valid)
	if err != nil || !reply.Accepted || reply.EventId == "" {
		t.Errorf("report: %v, %v", reply, err)
	}
	_, err = client.PostReport(ctx, &reportv1.PostReportRequest{})
	if e := kerrors.FromError(err); e == nil || e.Code != 400 || len(e.Metadata) != 4 {
		t.Errorf("invalid: %v", err)
	}
	client = serveGRPC(t, &stub{fail: kerrors.ServiceUnavailable("OUTBOX_FULL", "full")})
	var header metadata.MD
	_, err = client.PostReport(ctx, valid, grpc.Header(&header))
	if e := kerrors.FromError(err); e == nil || e.Code != 503 || e.Reason != "OUTBOX_FULL" {
		t.Errorf("full: %v", err)
	}
	if got := header.Get("retry-after"); len(got) != 1 || got[0] != "1" {
		t.Errorf("full: header %v", header)
	}
	details := status.Convert(err).Details()
	if info, ok := details[len(details)-1].(*errdetails.RetryInfo); !ok || info.RetryDelay.AsDuration() != time.Second {
		t.Errorf("full: details %v", details)
	}
}

func TestNoGRPCServerUnlessConfigured(t *testing.T) {
	t.Parallel()
	srv, cleanup, err := NewGRPCServer(nil, nil, nil, nil, nil, log.DefaultLogger)
	if srv != nil || err != nil {
		t.Errorf("got %v, %v", srv, err)
	}
	cleanup()
}
