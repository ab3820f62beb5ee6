package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A replay publishes a message even if it is larger than the service's own limit for
// publishing.
func TestReplayOfWhatIsLargerThanOurs(t *testing.T) {
	t.Parallel()
	const size = 400_000
	url, store := mqtttest.InProcess(t).URL(), deadletter.NewMemory(0)
	b := connected(t, url, mqttbroker.WithDeadLetters(store), mqttbroker.WithSubscriberConfig(&v1.Subscriber{MaxPayload: 1 << 20}))
	handled := make(chan int, 1)
	var mended atomic.Bool
	_, err := b.Subscribe("in", func(_ context.Context, e broker.Event) error {
		if !mended.Load() {
			return event.Permanent(errors.New("not yet"))
		}
		handled <- len(e.Message().Body.([]byte))
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	source := connected(t, url, mqttbroker.WithPublisherConfig(&v1.Publisher{MaxPayload: 1 << 20}))
	publish(t, source, "in", []byte(strings.Repeat("x", size)))
	mqtttest.Eventually(t, patience, func() bool { return stats(t, store).Dead == 1 })
	mended.Store(true)
	if n, err := b.Replay(within(t, patience)); n != 1 || err != nil {
		t.Fatalf("%d replayed, %v", n, err)
	}
	if n := receive(t, handled); n < size {
		t.Errorf("%d bytes", n)
	}
}
