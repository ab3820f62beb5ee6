package data

import (
	"context"
	"errors"
	"testing"

	"github.com/go-kratos/kratos/v2/log"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// The id of a message and its row commit together: a handler that fails after it
// has saved its row leaves neither.
func TestDedupCommitsWithTheRow(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		data := open(t, c)
		repo := NewReportRepo(data)
		s, cleanup, err := NewStores(t.Context(), &conf.Bootstrap{Data: c}, data, log.DefaultLogger)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(cleanup)
		window := s.Dedup
		for i, step := range []struct {
			fail      error
			duplicate bool
			rows      int
		}{{errNotReady, false, 0}, {nil, false, 1}, {nil, true, 1}} {
			duplicate, err := window.Once(t.Context(), "m1", func(ctx context.Context) error {
				return errors.Join(repo.SaveEvents(ctx, []biz.EventReport{eventReport(i)}), step.fail)
			})
			if !errors.Is(err, step.fail) || duplicate != step.duplicate {
				t.Errorf("delivery %d: duplicate %t, %v", i, duplicate, err)
			}
			events, _, err := repo.ListEvents(t.Context(), biz.Page{Size: 9})
			if err != nil || len(events) != step.rows {
				t.Errorf("delivery %d: %d rows, %v, want %d", i, len(events), err, step.rows)
			}
		}
	})
}

func TestDedupDrivers(t *testing.T) {
	t.Parallel()
	for driver, want := range map[string]bool{conf.DriverMemory: true, conf.DriverNone: false, "": false} {
		c := &conf.Bootstrap{Mqtt: &conf.MQTT{Dedup: &kratosmqttv1.Dedup{Driver: driver}}}
		s, _, err := NewStores(t.Context(), c, &Data{}, log.DefaultLogger)
		if err != nil || (s.Dedup != nil) != want {
			t.Errorf("%q: got %+v, %v", driver, s, err)
		}
	}
}
