package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A client that can write below dead-letter/<service>/ cannot make the service publish
// messages with the service's rights. Nor can it prevent the one replay of a dead
// letter of the service.
func TestForgedLettersAreNotPublished(t *testing.T) {
	t.Parallel()
	m := mqtttest.Mosquitto(t)
	b := connected(t, m.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("saver"), mqttbroker.WithServiceName("shop"))
	handled, broken := make(chan string, 100), make(chan bool, 1)
	broken <- true
	_, err := b.Subscribe("devices/+/data", func(_ context.Context, e broker.Event) error {
		if len(broken) > 0 {
			return event.Permanent(errors.New("cannot be decoded"))
		}
		handled <- e.Topic()
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "devices/B/data", "honest")
	store, err := b.DeadLetters()
	if err != nil {
		t.Fatal(err)
	}
	var honest *deadletter.Letter
	mqtttest.Eventually(t, patience, func() bool {
		list, err := store.List(within(t, patience), deadletter.Query{})
		if err == nil && len(list) == 1 {
			honest = list[0]
		}
		return honest != nil
	})
	<-broken
	opened := subscribe(t, connected(t, m.URL(), mqttbroker.WithClientId("valve")), "valves/#")
	other, err := mqttbroker.NewPublisher(broker.WithAddress(m.URL()), mqttbroker.WithProtocol("5"))
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = other.Stop(context.Background()) })
	const some = "018bcfe5-6800-7000-8000-0000000000"
	for topic, id := range map[string]string{
		"01/" + some + "01": some + "01", // plausible, except for the message that it would publish
		"02/" + some + "02": honest.ID,   // a copy of the honest one
		"03/" + some + "03": "0/#",
		"00/0":              "0/#",
	} {
		err := other.Publish(within(t, patience), "dead-letter/shop/"+topic, []byte("OPEN"), event.QoS(1), event.Retain(true),
			event.Header("dead-letter-id", id), event.Header("dead-letter-topic", "valves/7/open"), event.Header("dead-letter-service", "shop"))
		if err != nil {
			t.Fatal(err)
		}
	}
	replayed := 0
	for range 3 {
		n, err := b.Replay(within(t, patience))
		if replayed += n; !errors.Is(err, deadletter.ErrSuspect) || !strings.Contains(err.Error(), some+"01") {
			t.Errorf("%d replayed, %v", n, err)
		}
	}
	if got := receive(t, handled); replayed != 1 || got != "devices/B/data" || len(handled) != 0 {
		t.Errorf("%d replayed, %q", replayed, got)
	}
	if _, err := store.Get(within(t, patience), honest.ID); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("the honest letter after its replay: %v", err)
	}
	if n, err := b.ReplayConfirmed(within(t, patience), some+"01"); n != 1 || err != nil {
		t.Errorf("%d confirmed, %v", n, err)
	}
	if got := receive(t, opened); got.body != "OPEN" { // only the confirmed one
		t.Errorf("%+v", got)
	}
	if n, err := deadletter.Delete(within(t, patience), store); n != 3 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	select {
	case got := <-opened:
		t.Errorf("%+v was published, too", got)
	case <-time.After(50 * time.Millisecond):
	}
}
