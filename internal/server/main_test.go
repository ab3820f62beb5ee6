package server

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// stub replaces the dependencies of the use cases: it publishes and stores nothing.
// Methods that a test does not expect are nil and panic.
type stub struct {
	biz.ReportRepo
	biz.DeviceRepo
	biz.DevicePublisher

	fail      error
	published atomic.Int64

	reportData string // the data of the listed report
}

func (s *stub) PublishEvent(context.Context, biz.EventReport) error {
	s.published.Add(1)
	return s.fail
}

func (s *stub) PublishStatus(context.Context, biz.StatusReport) error { return s.fail }

func (s *stub) ListEvents(context.Context, biz.Page) ([]biz.EventReport, int64, error) {
	return []biz.EventReport{{EventID: "e1", Data: s.reportData}}, 0, nil
}

func (s *stub) ListTelemetry(_ context.Context, device string, _ biz.Page) ([]biz.Telemetry, int64, error) {
	return []biz.Telemetry{{EventID: device}}, 0, nil
}

func (s *stub) LastHeartbeat(context.Context, string) (time.Time, error) { return time.Time{}, nil }

func (s *stub) PublishCommand(context.Context, biz.Command) error { return s.fail }

func (s *stub) services() (*service.ReportService, *service.DeviceService) {
	return service.NewReportService(biz.NewReportUsecase(s, s, log.DefaultLogger)),
		service.NewDeviceService(biz.NewDeviceUsecase(nil, s, s, biz.Limits{}))
}

// start runs a server until the test ends.
func start(t *testing.T, srv Server) {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- srv.Start(context.Background()) }()
	t.Cleanup(func() {
		if err := srv.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
