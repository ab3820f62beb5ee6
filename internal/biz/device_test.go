package biz

import (
	"context"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
)

var noon = time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)

func reading(change func(*Telemetry)) Telemetry {
	t := Telemetry{DeviceID: "d1", EventID: "r1", Temperature: new(21.5), MeasuredAt: noon}
	change(&t)
	return t
}

func asIs(*Telemetry) {}

func TestRecordRefusesUnusableReadings(t *testing.T) {
	t.Parallel()
	for field, r := range map[string]Telemetry{
		"device_id":   reading(func(t *Telemetry) { t.DeviceID = "" }),
		"event_id":    reading(func(t *Telemetry) { t.EventID = strings.Repeat("x", maxName+1) }),
		"timestamp":   reading(func(t *Telemetry) { t.MeasuredAt = time.Time{} }),
		"temperature": reading(func(t *Telemetry) { t.Temperature = nil }),
		"humidity":    reading(func(t *Telemetry) { t.Humidity = new(math.NaN()) }),
	} {
		fake := &deviceFake{}
		err := NewDeviceUsecase(fake, fake, fake, Limits{}).Record(context.Background(), r)
		e := kerrors.FromError(err)
		if e == nil || e.Code != 400 || len(e.Metadata) != 1 || e.Metadata[field] == "" {
			t.Errorf("%s: got %v", field, err)
		}
		if len(fake.readings) != 0 {
			t.Errorf("%s: saved all the same", field)
		}
	}
}

func TestRecordRefusesWhatNoDatabaseKeeps(t *testing.T) {
	t.Parallel()
	fake := &deviceFake{}
	err := NewDeviceUsecase(fake, fake, fake, Limits{}).Record(context.Background(), reading(func(t *Telemetry) { t.EventID = "\x00" }))
	if e := kerrors.FromError(err); e == nil || e.Code != 400 || e.Metadata["event_id"] == "" || len(fake.readings) != 0 {
		t.Errorf("got %v", err)
	}
}

func TestRecordRaisesAlertsAboveTheLimit(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		temperature, limit *float64
		raised             bool
	}{
		"above":          {new(60.1), new(60.0), true},
		"at the limit":   {new(60.0), new(60.0), false},
		"below":          {new(-5.0), new(60.0), false},
		"limit of zero":  {new(0.5), new(0.0), true},
		"no limit":       {new(1000.0), nil, false},
		"no temperature": {nil, new(60.0), false},
	} {
		fake := &deviceFake{}
		u := NewDeviceUsecase(fake, fake, fake, Limits{Temperature: test.limit})
		r := reading(func(t *Telemetry) { t.Temperature, t.Humidity = test.temperature, new(40.0) })
		if err := u.Record(context.Background(), r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !reflect.DeepEqual(fake.readings, []Telemetry{r}) {
			t.Errorf("%s: saved %+v", name, fake.readings)
		}
		if want := len(fake.alerts); fake.transactions != want {
			t.Errorf("%s: %d transactions, want %d", name, fake.transactions, want)
		}
		if raised := len(fake.alerts) == 1; raised != test.raised || !reflect.DeepEqual(fake.alerts, fake.published) {
			t.Errorf("%s: alerts %+v, published %+v", name, fake.alerts, fake.published)
		}
		if !test.raised {
			continue
		}
		want := Alert{
			EventID: fake.alerts[0].EventID, DeviceID: "d1", Kind: AlertTemperature,
			Value: *test.temperature, Limit: *test.limit, MeasuredAt: noon,
		}
		if fake.alerts[0] != want || want.EventID == "" {
			t.Errorf("%s: alert %+v", name, fake.alerts[0])
		}
	}
}

func TestRecordReportsFailures(t *testing.T) {
	t.Parallel()
	for name, fake := range map[string]*deviceFake{
		"saving the reading":   {failSave: errFake},
		"saving the alert":     {failAlert: errFake},
		"publishing the alert": {failPublish: errFake},
	} {
		u := NewDeviceUsecase(fake, fake, fake, Limits{Temperature: new(0.0)})
		if err := u.Record(context.Background(), reading(asIs)); !errors.Is(err, errFake) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestRedeliveryHasTheSameIdentity(t *testing.T) {
	t.Parallel()
	fake := &deviceFake{}
	u := NewDeviceUsecase(fake, fake, fake, Limits{Temperature: new(0.0)})
	anonymous := func() Telemetry {
		return reading(func(t *Telemetry) {
			t.EventID = ""
			t.Sensors = map[string]any{"a": 1.0, "b": "x", "c": map[string]any{"d": true, "e": nil}}
		})
	}
	for range 20 { // map order differs between runs
		if err := u.Record(context.Background(), anonymous()); err != nil {
			t.Fatal(err)
		}
	}
	for i := range fake.readings {
		if fake.readings[i].EventID != fake.readings[0].EventID || fake.alerts[i] != fake.alerts[0] {
			t.Fatalf("delivery %d: %+v, %+v", i, fake.readings[i], fake.alerts[i])
		}
	}
	if len(fake.published) != 20 {
		t.Errorf("published %d alerts, want one a delivery", len(fake.published))
	}
}

func TestDifferentReadingsHaveDifferentIdentities(t *testing.T) {
	t.Parallel()
	readings := []Telemetry{
		reading(func(t *Telemetry) { t.EventID = "" }),
		reading(func(t *Telemetry) { t.EventID, t.DeviceID = "", "d2" }),
		reading(func(t *Telemetry) { t.EventID, t.MeasuredAt = "", noon.Add(1) }),
		reading(func(t *Telemetry) { t.EventID, t.Temperature = "", new(21.6) }),
		reading(func(t *Telemetry) { t.EventID, t.Temperature, t.Humidity = "", nil, new(21.5) }),
		reading(func(t *Telemetry) { t.EventID, t.Sensors = "", map[string]any{"a": 1.0} }),
	}
	seen := make(map[string]int)
	for i, r := range readings {
		id, err := r.deriveID()
		if err != nil {
			t.Fatal(err)
		}
		if j, ok := seen[id]; ok {
			t.Errorf("readings %d and %d share %s", j, i, id)
		}
		seen[id] = i
	}
	if stableID("a", "bc") == stableID("ab", "c") {
		t.Error("parts run into each other")
	}
}

func TestAlertsOfTwoDevicesWithOneEventID(t *testing.T) {
	t.Parallel()
	fake := &deviceFake{}
	u := NewDeviceUsecase(fake, fake, fake, Limits{Temperature: new(0.0)})
	for _, device := range []string{"d1", "d2"} {
		if err := u.Record(context.Background(), reading(func(t *Telemetry) { t.DeviceID = device })); err != nil {
			t.Fatal(err)
		}
	}
	if fake.alerts[0].EventID == fake.alerts[1].EventID {
		t.Error("two alerts share an event id")
	}
}
