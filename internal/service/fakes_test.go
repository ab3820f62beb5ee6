package service

import (
	"context"
	"errors"
	"time"

	"github.com/go-kratos/kratos/v2/log"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
)

var errFake = errors.New("fake failure")

// fake is the repository and the publisher of both use cases.
type fake struct {
	fail error

	events   []biz.EventReport
	statuses []biz.StatusReport
	readings []biz.Telemetry
	alerts   []biz.Alert
	commands []biz.Command
	seen     time.Time
	page     biz.Page
}

func (f *fake) reports() *biz.ReportUsecase { return biz.NewReportUsecase(f, f, log.DefaultLogger) }

func (f *fake) devices() *biz.DeviceUsecase { return biz.NewDeviceUsecase(f, f, f, biz.Limits{}) }

func (f *fake) InTx(ctx context.Context, g func(context.Context) error) error { return g(ctx) }

func (f *fake) PublishEvent(ctx context.Context, e biz.EventReport) error {
	return f.SaveEvents(ctx, []biz.EventReport{e})
}

func (f *fake) PublishStatus(ctx context.Context, s biz.StatusReport) error {
	return f.SaveStatuses(ctx, []biz.StatusReport{s})
}

func (f *fake) SaveEvents(_ context.Context, list []biz.EventReport) error {
	f.events = append(f.events, list...)
	return f.fail
}

func (f *fake) SaveStatuses(_ context.Context, list []biz.StatusReport) error {
	f.statuses = append(f.statuses, list...)
	return f.fail
}

func (f *fake) ListEvents(_ context.Context, p biz.Page) ([]biz.EventReport, int64, error) {
	f.page = p
	return f.events, 9, f.fail
}

func (f *fake) ListStatuses(_ context.Context, p biz.Page) ([]biz.StatusReport, int64, error) {
	f.page = p
	return f.statuses, 9, f.fail
}

func (f *fake) SaveTelemetry(_ context.Context, t biz.Telemetry) error {
	f.readings = append(f.readings, t)
	return f.fail
}

func (f *fake) SaveAlert(context.Context, biz.Alert) error { return f.fail }

func (f *fake) PublishAlert(context.Context, biz.Alert) error { return f.fail }

func (f *fake) PublishCommand(_ context.Context, c biz.Command) error {
	f.commands = append(f.commands, c)
	return f.fail
}

func (f *fake) SaveHeartbeat(_ context.Context, _ string, at time.Time) error {
	f.seen = at
	return f.fail
}

func (f *fake) LastHeartbeat(context.Context, string) (time.Time, error) { return f.seen, f.fail }

func (f *fake) ListTelemetry(_ context.Context, _ string, p biz.Page) ([]biz.Telemetry, int64, error) {
	f.page = p
	return f.readings, 9, f.fail
}

func (f *fake) ListAlerts(_ context.Context, p biz.Page) ([]biz.Alert, int64, error) {
	f.page = p
	return f.alerts, 9, f.fail
}
