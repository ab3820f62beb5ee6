package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Devices that use the same ids, by accident or not, are not duplicates of each other:
// an id counts within its topic.
func TestIDsOfOneTopicAreNoneOfAnother(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(memoryWindow(t)))
	got := subscribe(t, b, "devices/+/data")
	for _, device := range []string{"A", "B"} {
		for id := range 10 {
			for range 2 { // the second is a duplicate
				err := b.Publish(within(t, patience), "devices/"+device+"/data", broker.NewMessage(id, broker.WithID(fmt.Sprint(id+1))))
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	handled := make(map[string]int)
	for range 20 {
		handled[receive(t, got).topic]++
	}
	if a, b := handled["devices/A/data"], handled["devices/B/data"]; a != 10 || b != 10 {
		t.Errorf("handled %d of A and %d of B, want 10 of each", a, b)
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Duplicates == 20 })
}

// The id of a CloudEvent is unique within its source, in both of its modes.
func TestIDsOfOneSourceAreNoneOfAnother(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(memoryWindow(t)))
	got := subscribe(t, b, "events")
	for _, source := range []string{"/A", "/B", "/B"} {
		publish(t, b, "events", map[string]string{"specversion": "1.0", "id": "evt-1", "type": "t", "source": source},
			mqttbroker.WithCallOptions(event.ContentType("application/cloudevents+json")))
		publish(t, b, "events", "2", mqttbroker.WithCallOptions(event.Header("id", "evt-2"), event.Header("type", "t"),
			event.Header("specversion", "1.0"), event.Header("source", source)))
	}
	for range 4 {
		receive(t, got)
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Duplicates == 2 })
}

// A declared field takes precedence over the header. A header with another value is
// counted and logged.
func TestDeclaredIDCountsOverTheHeader(t *testing.T) {
	t.Parallel()
	type body struct {
		ID string `json:"id"`
	}
	b, out := logged(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(memoryWindow(t)))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 10)
	_, err := b.Subscribe("declared", func(_ context.Context, e broker.Event) error {
		got <- e.Message().ID
		return nil
	}, func() any { return new(body) }, mqttbroker.WithSubscribeIDField("id"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range [][2]string{{"field-1", "x"}, {"field-2", "x"}, {"field-2", "y"}, {"field-3", "field-3"}, {"", "header"}} {
		err := b.Publish(within(t, patience), "declared", broker.NewMessage(&body{m[0]}, broker.WithID(m[1])))
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"field-1", "field-2", "field-3", "header"} {
		if id := receive(t, got); id != want {
			t.Errorf("handled %s, want %s", id, want)
		}
	}
	if h := b.Health(); h.Duplicates != 1 || h.IDMismatches != 3 || out.count("contradicts the field declared for it") != 1 {
		t.Errorf("%d duplicates, %d contradictions, log:\n%s", h.Duplicates, h.IDMismatches, out)
	}
}

// An option declares that ids are unique across topics.
func TestIDsSpanTopics(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(memoryWindow(t)))
	got := subscribe(t, b, "span/+", mqttbroker.WithSubscribeIDsSpanTopics())
	for i, id := range []string{"1", "1", "2"} {
		err := b.Publish(within(t, patience), fmt.Sprintf("span/%d", i), broker.NewMessage(id, broker.WithID(id)))
		if err != nil {
			t.Fatal(err)
		}
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Duplicates == 1 && len(got) == 2 })
}

// A replayed dead letter has the id of its message: if that id was handled in the
// meantime, the letter is not handled again.
func TestReplayHasTheIDOfTheMessage(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	b := connected(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"),
		mqttbroker.WithDedup(memoryWindow(t)), mqttbroker.WithDeadLetters(store))
	fail, got := make(chan struct{}, 1), make(chan string, 10)
	fail <- struct{}{}
	_, err := b.Subscribe("replay/+", func(_ context.Context, e broker.Event) error {
		select {
		case <-fail:
			return event.Permanent(errors.New("not today"))
		default:
		}
		got <- e.Topic()
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	send := func() {
		t.Helper()
		if err := b.Publish(within(t, patience), "replay/1", broker.NewMessage("x", broker.WithID("1"))); err != nil {
			t.Fatal(err)
		}
	}
	send()
	mqtttest.Eventually(t, patience, func() bool { return stats(t, store).Dead == 1 })
	send() // as an outbox does after a reconnect
	receive(t, got)
	if n, err := b.Replay(within(t, patience)); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Duplicates == 1 })
	if len(got) > 0 {
		t.Error("handled again")
	}
}
