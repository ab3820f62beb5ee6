package server

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/tap"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

const (
	// maxCalls is how many calls may be open, over all connections. Each may be
	// receiving a message of maxBody.
	maxCalls = 256
	// maxWatches is the same for calls that last as long as their caller wants.
	maxWatches = 64
)

// door admits calls before any of their messages is received.
type door struct {
	open    []string // prefixes of the methods of open services
	timeout time.Duration
	calls   atomic.Int64
	watches atomic.Int64
}

// newDoor returns a door that admits calls to the services of this process, to health
// checks, and to the services that the configuration turns on. Kratos registers more
// services than that and cannot be configured to leave all of them out.
func newDoor(c *conf.Server_GRPC, timeout time.Duration) *door {
	d := &door{timeout: timeout}
	d.open = []string{
		"/" + reportv1.ReportService_ServiceDesc.ServiceName + "/",
		"/" + devicev1.DeviceService_ServiceDesc.ServiceName + "/",
		"/grpc.health.v1.Health/",
		remote.Path, // where server.operator has it registered
	}
	if c.Reflection {
		d.open = append(d.open, "/grpc.reflection.", "/kratos.api.Metadata/")
	}
	if c.Channelz {
		d.open = append(d.open, "/grpc.channelz.", "/envoy.service.status.")
	}
	return d
}

// enter implements tap.ServerInHandle. It bounds the time of the whole call, as for an
// HTTP request: the timeout of Kratos starts only when the message has arrived.
func (d *door) enter(ctx context.Context, info *tap.Info) (context.Context, error) {
	method := info.FullMethodName
	if !slices.ContainsFunc(d.open, func(service string) bool { return strings.HasPrefix(method, service) }) {
		return ctx, status.Error(codes.Unimplemented, "unknown service, or one that server.grpc does not turn on")
	}
	for _, contentType := range info.Header["content-type"] {
		if subtype, ok := strings.CutPrefix(contentType, "application/grpc+"); ok && subtype != "proto" {
			return ctx, status.Error(codes.Unimplemented, "messages are in protobuf, want application/grpc or application/grpc+proto")
		}
	}
	count, most := &d.calls, int64(maxCalls)
	if lasts(method) {
		count, most = &d.watches, maxWatches
	}
	if count.Add(1) > most {
		count.Add(-1)
		return ctx, status.Error(codes.Unavailable, "too many calls at a time; try again later")
	}
	leave := func() { count.Add(-1) }
	if lasts(method) {
		context.AfterFunc(ctx, leave)
		return ctx, nil
	}
	gone := ctx.Err
	ctx, cancel := context.WithTimeout(ctx, 2*d.timeout)
	context.AfterFunc(ctx, cancel)
	ctx, v := newVisit(ctx, gone)
	v.then(leave)
	return ctx, nil
}

// lasts reports whether a call lasts as long as its caller wants. No call to a service
// of this process does.
func lasts(method string) bool {
	return method == "/grpc.health.v1.Health/Watch" || strings.HasPrefix(method, "/grpc.reflection.")
}
