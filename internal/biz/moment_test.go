package biz

import (
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
)

// Times that no list could show are refused. stores.md 12.
func TestTimesOutOfRangeAreRefused(t *testing.T) {
	t.Parallel()
	for text, fit := range map[string]bool{
		"9999-12-31T23:59:59-12:00": false, "9999-12-31T23:59:59Z": true,
		"0001-01-01T00:00:00+12:00": false, "0001-01-01T12:00:00+12:00": true,
		"2026-05-06T12:00:00Z": true,
	} {
		at, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			t.Fatal(err)
		}
		device, report := &deviceFake{}, &reportFake{}
		errs := map[string]error{
			"create_time": only(NewReportUsecase(report, report, nil).SaveEvents(t.Context(), []EventReport{{EventID: "e", CreateTime: at}})),
		}
		if !at.IsZero() { // a reading needs one
			errs["timestamp"] = NewDeviceUsecase(device, device, device, Limits{}).Record(t.Context(), reading(func(r *Telemetry) { r.MeasuredAt = at }))
		}
		for field, err := range errs {
			e := kerrors.FromError(err)
			if fit != (err == nil) || !fit && (e.Code != 400 || e.Metadata[field] == "") {
				t.Errorf("%s of %s: %v", field, text, err)
			}
		}
	}
}
