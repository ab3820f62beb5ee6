package data

import (
	"context"
	"reflect"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

var noon = time.Date(2026, 5, 6, 12, 0, 0, 1000, time.UTC)

func TestTelemetryIsStoredOnceADevice(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		repo := NewDeviceRepo(open(t, c))
		ctx := context.Background()
		readings := []biz.Telemetry{
			{DeviceID: "d1", EventID: "1", Temperature: new(0.0), MeasuredAt: noon, Sensors: map[string]any{}},
			{DeviceID: "d2", EventID: "1", Humidity: new(40.5), MeasuredAt: noon, Sensors: map[string]any{}},
			{DeviceID: "d1", EventID: "2", MeasuredAt: noon, Sensors: map[string]any{"a": []any{1.0, "x", nil}}},
		}
		for range 2 {
			for _, r := range readings {
				if err := repo.SaveTelemetry(ctx, r); err != nil {
					t.Fatal(err)
				}
			}
		}
		for device, want := range map[string][]biz.Telemetry{
			"d1": {readings[2], readings[0]},
			"d2": {readings[1]},
			"d3": nil,
		} {
			got, next, err := repo.ListTelemetry(ctx, device, biz.Page{Size: 10})
			if err != nil || next != 0 || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, %d, %v", device, got, next, err)
			}
		}
		got, next, err := repo.ListTelemetry(ctx, "d1", biz.Page{Size: 1})
		if err != nil || next == 0 || got[0].EventID != "2" {
			t.Fatalf("first page: %+v, %d, %v", got, next, err)
		}
		got, next, err = repo.ListTelemetry(ctx, "d1", biz.Page{Size: 1, Before: next})
		if err != nil || next != 0 || got[0].EventID != "1" {
			t.Errorf("second page: %+v, %d, %v", got, next, err)
		}
	})
}

func TestAlertsAreStoredOnce(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		repo := NewDeviceRepo(open(t, c))
		ctx := context.Background()
		alert := biz.Alert{EventID: "a1", DeviceID: "d1", Kind: "temperature", Value: 61.5, Limit: 60, MeasuredAt: noon}
		other := alert
		other.EventID, other.DeviceID = "a2", "d2"
		for _, a := range []biz.Alert{alert, alert, other, alert} {
			if err := repo.SaveAlert(ctx, a); err != nil {
				t.Fatal(err)
			}
		}
		got, next, err := repo.ListAlerts(ctx, biz.Page{Size: 10})
		if err != nil || next != 0 || !reflect.DeepEqual(got, []biz.Alert{other, alert}) {
			t.Errorf("got %+v, %d, %v", got, next, err)
		}
	})
}

func TestLastHeartbeat(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		repo := NewDeviceRepo(open(t, c))
		ctx := context.Background()
		if at, err := repo.LastHeartbeat(ctx, "d1"); err != nil || !at.IsZero() {
			t.Errorf("never seen: %v, %v", at, err)
		}
		for _, at := range []time.Time{noon, noon.Add(time.Second)} {
			if err := repo.SaveHeartbeat(ctx, "d1", at); err != nil {
				t.Fatal(err)
			}
		}
		if err := repo.SaveHeartbeat(ctx, "d2", noon); err != nil {
			t.Fatal(err)
		}
		for device, want := range map[string]time.Time{"d1": noon.Add(time.Second), "d2": noon} {
			if at, err := repo.LastHeartbeat(ctx, device); err != nil || !at.Equal(want) {
				t.Errorf("%s: %v, %v, want %v", device, at, err, want)
			}
		}
	})
}
