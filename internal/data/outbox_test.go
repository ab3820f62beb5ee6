package data

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/biz"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

func outboxConfig(driver, path string, bound uint64) *conf.MQTT {
	return &conf.MQTT{Outbox: &kratosmqttv1.Outbox{Driver: driver, Path: path, MaxEntries: bound}}
}

func newOutbox(t *testing.T, c *conf.MQTT, d *Data) outbox.Store {
	t.Helper()
	s, cleanup, err := NewStores(t.Context(), &conf.Bootstrap{Mqtt: c}, d, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return s.Outbox
}

// offline returns a publisher whose broker is not reachable.
func offline(t *testing.T, c *conf.MQTT, store outbox.Store) event.ClientConn {
	t.Helper()
	connection := &kratosmqttv1.Connection{Addresses: []string{"mqtt://" + port.Address(t)}}
	hold := NewHold()
	hold.Until(nil)
	b, cleanup, err := NewBroker(connection, c, store, hold, NewBacklog(c), Observers{}, log.NewFilter(log.DefaultLogger, log.FilterLevel(log.LevelFatal)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return NewClientConn(b)
}

func depth(t *testing.T, store outbox.Store) int {
	t.Helper()
	s, err := store.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Depth
}

func TestOutboxTakesReportsUpToItsBound(t *testing.T) {
	t.Parallel()
	data := open(t, newSQLite(t))
	for _, driver := range []string{conf.DriverFile, conf.DriverSQL, conf.DriverMemory} {
		c := outboxConfig(driver, filepath.Join(t.TempDir(), "new", "outbox.db"), 2)
		store := newOutbox(t, c, data)
		publisher := NewReportPublisher(offline(t, c, store))
		for i := range 2 {
			if err := publisher.PublishEvent(t.Context(), eventReport(i)); err != nil {
				t.Errorf("%s: %v", driver, err)
			}
		}
		err := publisher.PublishEvent(t.Context(), eventReport(2))
		if kerrors.Code(err) != 503 || kerrors.Reason(err) != "OUTBOX_FULL" || depth(t, store) != 2 {
			t.Errorf("%s: got %v, %d waiting", driver, err, depth(t, store))
		}
	}
}

func TestNoOutboxUnlessConfigured(t *testing.T) {
	t.Parallel()
	for _, c := range []*conf.MQTT{nil, {}, outboxConfig(conf.DriverNone, "", 0)} {
		if store := newOutbox(t, c, &Data{}); store != nil {
			t.Errorf("%v: got %T", c, store)
		}
	}
}

func TestOutboxFileIsForOneProcess(t *testing.T) {
	t.Parallel()
	c := outboxConfig(conf.DriverFile, filepath.Join(t.TempDir(), "outbox.db"), 0)
	newOutbox(t, c, &Data{})
	if _, _, err := NewStores(t.Context(), &conf.Bootstrap{Mqtt: c}, &Data{}, log.DefaultLogger); err == nil {
		t.Error("opened twice")
	}
}

// A reading, its alert and the alert's message are stored together or not at all.
func TestAlertIsPublishedWithItsReading(t *testing.T) {
	eachDatabase(t, func(t *testing.T, c *conf.Data) {
		data := open(t, c)
		mqtt := outboxConfig(conf.DriverSQL, "", 0)
		store := newOutbox(t, mqtt, data)
		repo := NewDeviceRepo(data)
		u := biz.NewDeviceUsecase(NewTransaction(data), repo, NewDevicePublisher(offline(t, mqtt, store)), biz.Limits{Temperature: new(60.0)})
		reading := biz.Telemetry{DeviceID: "d1", EventID: "r1", Temperature: new(61.0), MeasuredAt: noon, Sensors: map[string]any{}}

		err := data.InTx(t.Context(), func(ctx context.Context) error {
			if err := u.Record(ctx, reading); err != nil {
				t.Error(err)
			}
			return errNotReady // the transaction of a handler that fails later
		})
		if alerts, _, listErr := repo.ListAlerts(t.Context(), biz.Page{Size: 1}); err == nil || listErr != nil || len(alerts) != 0 || depth(t, store) != 0 {
			t.Errorf("after a failure: %v, %v, alerts %v, %d waiting", err, listErr, alerts, depth(t, store))
		}
		if err := u.Record(t.Context(), reading); err != nil {
			t.Fatal(err)
		}
		alerts, _, err := repo.ListAlerts(t.Context(), biz.Page{Size: 1})
		waiting, readErr := store.Read(t.Context(), 0, 10)
		if err != nil || readErr != nil || len(alerts) != 1 || len(waiting) != 1 || waiting[0].Topic != "alerts/temperature" {
			t.Errorf("%v, %v: alerts %v, waiting %v", err, readErr, alerts, waiting)
		}
	})
}

// connection is a fake broker that is connected or not.
type connection struct {
	fakeBroker
	up     bool
	closed int // keys
}

func (c *connection) Health() event.Health {
	return event.Health{Connected: c.up, Outbox: event.OutboxHealth{ClosedKeys: c.closed}}
}

func TestFlush(t *testing.T) {
	t.Parallel()
	store, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e := &outbox.Entry{ID: "1"}
	e.Topic = "t"
	if err := store.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	(&Broker{Broker: &connection{up: true}}).Flush(t.Context())                // no outbox
	(&Broker{Broker: &connection{up: false}, store: store}).Flush(t.Context()) // not connected
	ctx, cancel := context.WithTimeout(t.Context(), 5*flushPoll)
	defer cancel()
	began := time.Now()
	(&Broker{Broker: &connection{up: true}, store: store}).Flush(ctx)
	if ctx.Err() == nil {
		t.Errorf("returned after %v with a message waiting", time.Since(began))
	}
	(&Broker{Broker: &connection{up: true, closed: 1}, store: store}).Flush(t.Context()) // the message is refused, perhaps for ever
	flushed := make(chan struct{})
	go func() {
		defer close(flushed)
		(&Broker{Broker: &connection{up: true}, store: store}).Flush(t.Context())
	}()
	if err := store.Delete(t.Context(), e.Seq); err != nil {
		t.Error(err)
	}
	<-flushed
}
