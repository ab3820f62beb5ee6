package server

import (
	"fmt"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport/http"
	"golang.org/x/net/netutil"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
)

const (
	// maxHeader bounds the header of a request, in bytes.
	maxHeader = 16 << 10
	// maxConnections bounds the connections of each server. Further ones wait until
	// another one ends.
	maxConnections = 1024
	// idleTime is how long an idle connection is kept.
	idleTime = time.Minute
)

// NewHTTPServer listens on the configured address and serves the HTTP API on it, with
// the contracts of the events at /asyncapi/, metrics at /metrics, and probes at /healthz
// and /readyz. The returned function closes the listener,
// in case the server never runs.
func NewHTTPServer(c *conf.Server, room *Room, telemetry *Telemetry, reports *service.ReportService, devices *service.DeviceService, logger log.Logger) (*http.Server, func(), error) {
	if c.GetHttp() == nil {
		return nil, func() {}, nil
	}
	lis, err := listen(c.Http.Addr, conf.EnvHTTPAddr)
	if err != nil {
		return nil, nil, fmt.Errorf("HTTP server: %w", err)
	}
	timeout := timeoutOf(c.Http.Timeout)
	srv := http.NewServer(
		http.Listener(netutil.LimitListener(lis, maxConnections)),
		http.Address(lis.Addr().String()),
		http.Timeout(timeout),
		http.Filter(newGuard(c.Http, lis.Addr()).filter, shares(room)),
		http.RequestDecoder(decodeRequest),
		http.ResponseEncoder(encodeResponse),
		http.ErrorEncoder(encodeError),
		http.Middleware(requestMiddleware(room, telemetry, logger)...),
	)
	srv.ReadTimeout, srv.WriteTimeout, srv.IdleTimeout = timeout, 2*timeout, idleTime
	srv.MaxHeaderBytes = maxHeader
	reportv1.RegisterReportServiceHTTPServer(srv, reports)
	devicev1.RegisterDeviceServiceHTTPServer(srv, devices)
	srv.HandlePrefix(asyncAPIPath, asyncAPI())
	for path, handler := range telemetry.routes() {
		srv.Handle(path, handler)
	}
	return srv, func() { _ = lis.Close() }, nil
}
