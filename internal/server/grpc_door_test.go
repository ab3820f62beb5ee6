package server

import (
	"context"
	"strings"
	"testing"

	kratospb "github.com/go-kratos/kratos/v2/api/metadata"
	"google.golang.org/grpc"
	channelzpb "google.golang.org/grpc/channelz/grpc_channelz_v1"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// Details of connections and messages are served only if the configuration says so;
// health checks are always served.
func TestAdminServicesAreOff(t *testing.T) {
	t.Parallel()
	calls := map[string]func(context.Context, *grpc.ClientConn) error{
		"channelz": func(ctx context.Context, cc *grpc.ClientConn) error {
			_, err := channelzpb.NewChannelzClient(cc).GetServers(ctx, new(channelzpb.GetServersRequest))
			return err
		},
		"reflection": func(ctx context.Context, cc *grpc.ClientConn) error {
			stream, err := reflectionpb.NewServerReflectionClient(cc).ServerReflectionInfo(ctx)
			if err != nil {
				return err
			}
			_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
			_, err = stream.Recv()
			return err
		},
		"metadata": func(ctx context.Context, cc *grpc.ClientConn) error {
			_, err := kratospb.NewMetadataClient(cc).ListServices(ctx, new(kratospb.ListServicesRequest))
			return err
		},
		"health": func(ctx context.Context, cc *grpc.ClientConn) error {
			_, err := healthpb.NewHealthClient(cc).Check(ctx, new(healthpb.HealthCheckRequest))
			return err
		},
	}
	for name, c := range map[string]struct {
		conf *conf.Server_GRPC
		on   string
	}{
		"default":    {new(conf.Server_GRPC), "health"},
		"channelz":   {&conf.Server_GRPC{Channelz: true}, "health channelz"},
		"reflection": {&conf.Server_GRPC{Reflection: true}, "health reflection metadata"},
	} {
		conn := serveGRPCWith(t, &stub{}, NewRoom(), c.conf)
		for service, call := range calls {
			ctx, cancel := context.WithCancel(t.Context())
			err := call(ctx, conn)
			cancel()
			if on := strings.Contains(c.on, service); on && err != nil || !on && status.Code(err) != codes.Unimplemented {
				t.Errorf("%s: %s: %v", name, service, err)
			}
		}
	}
}

// gRPC accepts protobuf only.
func TestGRPCInJSON(t *testing.T) {
	t.Parallel()
	conn := serveGRPCWith(t, &stub{}, NewRoom(), new(conf.Server_GRPC))
	_, err := reportv1.NewReportServiceClient(conn).ListReports(t.Context(), new(reportv1.ListReportsRequest), grpc.CallContentSubtype("json"))
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "want application/grpc") {
		t.Errorf("got %v", err)
	}
}

// The number of open calls is bounded, whatever their callers do. Long-lasting calls
// are counted separately.
func TestCalls(t *testing.T) {
	t.Parallel()
	d := newDoor(new(conf.Server_GRPC), defaultTimeout)
	call := &tap.Info{FullMethodName: reportv1.ReportService_PostReport_FullMethodName}
	watch := &tap.Info{FullMethodName: healthpb.Health_Watch_FullMethodName}
	ctx, cancel := context.WithCancel(t.Context())
	for _, c := range []struct {
		info *tap.Info
		most int
	}{{call, maxCalls}, {watch, maxWatches}} {
		for range c.most {
			within, err := d.enter(ctx, c.info)
			if _, bounded := within.Deadline(); err != nil || bounded != (c.info == call) {
				t.Fatalf("%s: %v, has a deadline: %v", c.info.FullMethodName, err, bounded)
			}
		}
		if _, err := d.enter(ctx, c.info); status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", c.info.FullMethodName, err)
		}
	}
	cancel()
	eventually(t, func() bool { return d.calls.Load()+d.watches.Load() == 0 })
}
