package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Messages whose id is being handled wait without a worker: even as many as there are
// workers delay no other message. When the handler has finished they are duplicates,
// however long it took.
func TestWaitingForAnIDHoldsNoWorker(t *testing.T) {
	t.Parallel()
	const workers = 16 // the default
	letters := deadletter.NewMemory(0)
	b := connected(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(memoryWindow(t)),
		mqttbroker.WithDeadLetters(letters))
	inside, release, got := make(chan struct{}), make(chan struct{}), make(chan string, 100)
	_, err := b.Subscribe("wait/#", func(_ context.Context, e broker.Event) error {
		if e.Topic() == "wait/slow" {
			close(inside)
			<-release
		}
		got <- e.Topic()
		return nil
	}, nil, mqttbroker.WithSubscribeIDsSpanTopics(), mqttbroker.WithSubscribeRetryBudget(time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	send := func(topic, id string) {
		t.Helper()
		if err := b.Publish(within(t, patience), topic, broker.NewMessage("x", broker.WithID(id))); err != nil {
			t.Fatal(err)
		}
	}
	send("wait/slow", "same")
	receive(t, inside)
	for i := range workers {
		send(fmt.Sprintf("wait/again/%d", i), "same")
	}
	for i := range 20 {
		send(fmt.Sprintf("wait/B/%d", i), fmt.Sprint(i))
	}
	for n := range 20 {
		select {
		case topic := <-got:
			if !strings.HasPrefix(topic, "wait/B/") {
				t.Errorf("handled %s", topic)
			}
		case <-time.After(patience):
			t.Fatalf("handled %d of 20", n)
		}
	}
	if h := b.Health(); h.Duplicates != 0 || h.Queued != workers || h.Running != 1 {
		t.Errorf("%d duplicates, %d queued, %d running while the first one runs", h.Duplicates, h.Queued, h.Running)
	}
	close(release)
	receive(t, got)
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Duplicates == workers })
	if len(got) > 0 || stats(t, letters).Dead > 0 {
		t.Errorf("%d handled again, %d dead letters", len(got), stats(t, letters).Dead)
	}
}
