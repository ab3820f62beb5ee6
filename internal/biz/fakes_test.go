package biz

import (
	"context"
	"errors"
	"sync"
	"time"
)

// errFake is the error that fakes return.
var errFake = errors.New("fake failure")

// reportFake records what a ReportUsecase publishes and saves.
type reportFake struct {
	fail error

	mu       sync.Mutex
	events   []EventReport
	statuses []StatusReport
	saves    int
}

func (f *reportFake) PublishEvent(_ context.Context, e EventReport) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, e)
	return f.fail
}

func (f *reportFake) PublishStatus(_ context.Context, s StatusReport) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.statuses = append(f.statuses, s)
	return f.fail
}

func (f *reportFake) SaveEvents(_ context.Context, list []EventReport) error {
	f.saves++
	f.events = append(f.events, list...)
	return f.fail
}

func (f *reportFake) SaveStatuses(_ context.Context, list []StatusReport) error {
	f.saves++
	f.statuses = append(f.statuses, list...)
	return f.fail
}

func (f *reportFake) ListEvents(_ context.Context, p Page) ([]EventReport, int64, error) {
	return f.events, p.Before, f.fail
}

func (f *reportFake) ListStatuses(_ context.Context, p Page) ([]StatusReport, int64, error) {
	return f.statuses, p.Before, f.fail
}

// deviceFake records what a DeviceUsecase saves and publishes.
type deviceFake struct {
	failSave, failAlert, failPublish error

	readings          []Telemetry
	commands          []Command
	seen              map[string]time.Time
	alerts, published []Alert
	transactions      int
}

// InTx counts transactions.
func (f *deviceFake) InTx(ctx context.Context, g func(context.Context) error) error {
	f.transactions++
	return g(ctx)
}

func (f *deviceFake) SaveTelemetry(_ context.Context, t Telemetry) error {
	f.readings = append(f.readings, t)
	return f.failSave
}

func (f *deviceFake) SaveAlert(_ context.Context, a Alert) error {
	f.alerts = append(f.alerts, a)
	return f.failAlert
}

func (f *deviceFake) PublishCommand(_ context.Context, c Command) error {
	f.commands = append(f.commands, c)
	return f.failPublish
}

func (f *deviceFake) SaveHeartbeat(_ context.Context, device string, at time.Time) error {
	if f.seen == nil {
		f.seen = make(map[string]time.Time)
	}
	f.seen[device] = at
	return f.failSave
}

func (f *deviceFake) LastHeartbeat(_ context.Context, device string) (time.Time, error) {
	return f.seen[device], f.failSave
}

func (f *deviceFake) PublishAlert(_ context.Context, a Alert) error {
	f.published = append(f.published, a)
	return f.failPublish
}

func (f *deviceFake) ListTelemetry(_ context.Context, _ string, p Page) ([]Telemetry, int64, error) {
	return f.readings, p.Before, f.failSave
}

func (f *deviceFake) ListAlerts(_ context.Context, p Page) ([]Alert, int64, error) {
	return f.alerts, p.Before, f.failAlert
}
