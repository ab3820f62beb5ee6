package server

import (
	"fmt"
	nethttp "net/http"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/transport/http"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
)

// maxBody bounds a request's body: 64 KiB of content as JSON escapes it at
// worst, and the rest of a report.
const maxBody = 512 << 10

// NewHTTPServer opens the configured address and serves the HTTP API on it, and the
// contracts of the events at /asyncapi/. The
// returned function closes the address again, in case the server never runs.
func NewHTTPServer(c *conf.Server, reports *service.ReportService, devices *service.DeviceService, logger log.Logger) (*http.Server, func(), error) {
	if c.GetHttp() == nil {
		return nil, func() {}, nil
	}
	lis, err := listen(c.Http.Addr, conf.EnvHTTPAddr)
	if err != nil {
		return nil, nil, fmt.Errorf("HTTP server: %w", err)
	}
	srv := http.NewServer(
		http.Listener(lis),
		http.Address(lis.Addr().String()),
		http.Timeout(timeoutOf(c.Http.Timeout)),
		http.Filter(limitBody),
		http.Middleware(requestMiddleware(logger)...),
	)
	srv.ReadHeaderTimeout = timeoutOf(c.Http.Timeout)
	reportv1.RegisterReportServiceHTTPServer(srv, reports)
	devicev1.RegisterDeviceServiceHTTPServer(srv, devices)
	srv.HandlePrefix(asyncAPIPath, asyncAPI())
	return srv, func() { _ = lis.Close() }, nil
}

func limitBody(next nethttp.Handler) nethttp.Handler {
	return nethttp.MaxBytesHandler(next, maxBody)
}
