package server

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	reportv1 "github.com/kratos-mqtt/kratos-mqtt/api/report/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/service"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// downStub is a database that is down until it is up.
type downStub struct {
	stub
	up    atomic.Bool
	calls atomic.Int64
	saved atomic.Int64
}

func (s *downStub) SaveEvents(_ context.Context, list []biz.EventReport) error {
	s.calls.Add(1)
	if !s.up.Load() {
		return errors.New("the database is down")
	}
	s.saved.Add(int64(len(list)))
	return nil
}

// While the database is down reports wait, even if the configuration does not mention
// breakers.
func TestBreakerIsOnByDefault(t *testing.T) {
	t.Parallel()
	const messages, saveEvent = 300, "/report.v1.ReportEvents/SaveEventReport"
	db, letters, url := new(downStub), deadletter.NewMemory(0), mqtttest.InProcess(t).URL()
	reports, devices := service.NewReportService(biz.NewReportUsecase(db, db, log.DefaultLogger)), service.NewDeviceService(biz.NewDeviceUsecase(nil, db, db, biz.Limits{}))
	srv, err := NewMQTTServer(&conf.Server{Mqtt: new(kratosmqttv1.Subscriber)}, new(conf.MQTT),
		&kratosmqttv1.Connection{Addresses: []string{url}, ClientId: "saver", Protocol: "5"}, "service", nil, letters,
		event.NewBacklog(1<<20), newTelemetry(t), reports, devices, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	ready, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := srv.WaitReady(ready); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		m := &reportv1.RealTimeWarehousingData{EventId: fmt.Sprint(i), CreateTime: "2025-01-01T00:00:00Z"}
		if err := srv.Publish(t.Context(), "reports/event", broker.NewMessage(m)); err != nil {
			t.Fatal(err)
		}
	}
	mqtttest.Eventually(t, 10*time.Second, func() error {
		if p := srv.Health().Pauses; len(p) != 1 || p[0].Name != saveEvent {
			return fmt.Errorf("pauses %+v after %d calls", p, db.calls.Load())
		}
		return nil
	})
	if n := db.calls.Load(); n > 6 {
		t.Errorf("%d calls until it opened", n)
	}
	db.up.Store(true)
	if err := srv.Resume(t.Context(), saveEvent); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, 10*time.Second, func() error {
		if n := db.saved.Load(); n != messages {
			return fmt.Errorf("%d of %d saved", n, messages)
		}
		return nil
	})
	if st, err := letters.Stats(t.Context()); err != nil || st.Dead > 0 {
		t.Errorf("%d dead letters, %v", st.Dead, err)
	}
}
