package delivery

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"
	_ "modernc.org/sqlite"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds every wait.
const patience = time.Minute

func connection(url, clientID string) *kratosmqttv1.Connection {
	return &kratosmqttv1.Connection{Addresses: []string{url}, ClientId: clientID}
}

// subscribed returns the messages of a topic, received on a connection of its own.
func subscribed(t *testing.T, url, topic string) <-chan Order {
	t.Helper()
	b := mqttbroker.NewBroker(broker.WithAddress(url), broker.WithCodec("json"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	arrived := make(chan Order, 100)
	_, err := broker.Subscribe(b, topic, func(_ context.Context, _ string, _ broker.Headers, o *Order) error {
		arrived <- *o
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return arrived
}

func receive[T any](t *testing.T, from <-chan T) (got T) {
	t.Helper()
	select {
	case got = <-from:
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
	return got
}

func start(t *testing.T, srv *mqttserver.Server) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := srv.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
}

// TestOutbox accepts a message while the broker is down, stops, and checks that the message is sent after
// the next start.
func TestOutbox(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	arrived := subscribed(t, server.URL(), "orders/#")
	path := filepath.Join(t.TempDir(), "outbox.db")
	down := connection("mqtt://127.0.0.1:1", "orders")
	for i, c := range []*kratosmqttv1.Connection{down, connection(server.URL(), "orders")} {
		b, cleanup, err := NewBroker(c, path)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := b.Publish(t.Context(), "orders/placed", broker.NewMessage(Order{"1"})); err != nil {
				t.Fatal(err)
			}
		} else if got := receive(t, arrived); got.ID != "1" {
			t.Errorf("got %+v", got)
		}
		if err := cleanup(); err != nil {
			t.Error(err)
		}
	}
}

// TestTransaction sends the same order twice: it is accepted once.
func TestTransaction(t *testing.T) {
	t.Parallel()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), "orders.db")+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	window, messages, err := Migrate(t.Context(), db)
	if err == nil {
		_, err = db.ExecContext(t.Context(), "CREATE TABLE orders (id TEXT PRIMARY KEY)")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = messages.Close() })
	server := mqtttest.InProcess(t)
	arrived := subscribed(t, server.URL(), "orders/accepted")
	c := connection(server.URL(), "orders")
	c.Protocol = "3.1.1" // without user properties the id is in the field
	srv, err := NewOrders(c, window, messages)
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	for _, id := range []string{"1", "1", "2"} {
		if err := srv.Publish(t.Context(), "orders/placed", broker.NewMessage(Order{id})); err != nil {
			t.Fatal(err)
		}
	}
	if got := []Order{receive(t, arrived), receive(t, arrived)}; !slices.Equal(got, []Order{{"1"}, {"2"}}) {
		t.Errorf("got %v", got)
	}
	if n := srv.Health().Duplicates; n != 1 {
		t.Errorf("%d duplicates", n)
	}
}

// TestMend replays a group of letters before the cause is mended and after it: a letter that fails
// again tells that it was replayed.
func TestMend(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	srv := mqttserver.NewServer(mqttserver.WithCodec("json"), mqttserver.WithBrokerOptions(
		mqttbroker.WithConnectionConfig(connection(server.URL(), "orders")), mqttbroker.WithDeadLetters(deadletter.NewMemory(0))))
	var mended atomic.Bool
	handled := make(chan Order, 1)
	err := mqttserver.RegisterSubscriber(srv, t.Context(), "orders/placed", func(_ context.Context, _ string, _ broker.Headers, o *Order) error {
		if !mended.Load() {
			return event.Permanent(errors.New("no stock"))
		}
		handled <- *o
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	if err := srv.Publish(t.Context(), "orders/placed", broker.NewMessage(Order{"1"})); err != nil {
		t.Fatal(err)
	}
	letters := operator.New(operator.Options{Source: srv})
	group := func(replays int) (fingerprint string) {
		mqtttest.Eventually(t, patience, func() bool {
			page, err := letters.List(t.Context(), operator.Query{})
			if err != nil {
				t.Fatal(err)
			}
			if len(page.Letters) != 1 || page.Letters[0].Replayed.Count != replays {
				return false
			}
			fingerprint = page.Letters[0].Fingerprint()
			return true
		})
		return fingerprint
	}
	if left, err := Mend(t.Context(), srv, group(0)); err != nil || len(left) != 0 {
		t.Fatalf("left %v: %v", left, err)
	}
	again := group(1)
	mended.Store(true)
	if left, err := Mend(t.Context(), srv, again); err != nil || len(left) != 0 {
		t.Fatalf("left %v: %v", left, err)
	}
	if o := receive(t, handled); o.ID != "1" {
		t.Errorf("handled %+v", o)
	}
}

// TestRedeem replays one of two dead letters and drops the other.
func TestRedeem(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	srv := mqttserver.NewServer(mqttserver.WithCodec("json"), mqttserver.WithBrokerOptions(
		mqttbroker.WithConnectionConfig(connection(server.URL(), "orders")), mqttbroker.WithDeadLetters(deadletter.NewMemory(0))))
	var mended atomic.Bool
	handled := make(chan Order, 1)
	err := mqttserver.RegisterSubscriber(srv, t.Context(), "orders/placed", func(_ context.Context, _ string, _ broker.Headers, o *Order) error {
		if !mended.Load() {
			return event.Permanent(errors.New("no stock"))
		}
		handled <- *o
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	for _, id := range []string{"1", "2"} {
		if err := srv.Publish(t.Context(), "orders/placed", broker.NewMessage(Order{id})); err != nil {
			t.Fatal(err)
		}
	}
	store, err := srv.DeadLetters()
	if err != nil {
		t.Fatal(err)
	}
	dead := func() int {
		s, err := store.Stats(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s.Dead
	}
	mqtttest.Eventually(t, patience, func() bool { return dead() == 2 })
	mended.Store(true)
	if err := Redeem(t.Context(), srv, func(l *deadletter.Letter) bool { return string(l.Payload) == `{"id":"2"}` }); err != nil {
		t.Fatal(err)
	}
	if o := receive(t, handled); o.ID != "1" || dead() != 0 {
		t.Errorf("handled %+v, %d letters left", o, dead())
	}
}
