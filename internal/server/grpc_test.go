package server

import (
	"context"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// serveGRPC runs the gRPC server over s and returns a client of it.
func serveGRPC(t *testing.T, s *stub, gate *ReadyGate, timeout time.Duration) reportv1.ReportServiceClient {
	t.Helper()
	reports, devices := s.services()
	c := &conf.Server{Grpc: &conf.Server_GRPC{Addr: "127.0.0.1:0", Timeout: durationpb.New(timeout)}}
	srv, cleanup, err := NewGRPCServer(c, gate, reports, devices, log.DefaultLogger)
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
	return reportv1.NewReportServiceClient(conn)
}

func TestGRPCAnswers(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	valid := &reportv1.PostReportRequest{ReportType: "event", AppId: "a", AppKey: "k", EventName: "e", Content: "{}"}
	client := serveGRPC(t, &stub{}, &ReadyGate{}, time.Minute)
	reply, err := client.PostReport(ctx, valid)
	if err != nil || !reply.Accepted || reply.EventId == "" {
		t.Errorf("report: %v, %v", reply, err)
	}
	_, err = client.PostReport(ctx, &reportv1.PostReportRequest{})
	if e := kerrors.FromError(err); e == nil || e.Code != 400 || len(e.Metadata) != 4 {
		t.Errorf("invalid: %v", err)
	}
	client = serveGRPC(t, &stub{}, &ReadyGate{subscriber: make(readyWhen)}, 100*time.Millisecond)
	_, err = client.PostReport(ctx, valid)
	if e := kerrors.FromError(err); e == nil || e.Code != 503 || e.Reason != "NOT_READY" {
		t.Errorf("not ready: %v", err)
	}
}

func TestNoGRPCServerUnlessConfigured(t *testing.T) {
	t.Parallel()
	srv, cleanup, err := NewGRPCServer(nil, nil, nil, nil, log.DefaultLogger)
	if srv != nil || err != nil {
		t.Errorf("got %v, %v", srv, err)
	}
	cleanup()
}
