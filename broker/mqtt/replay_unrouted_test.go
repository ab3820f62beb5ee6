package mqtt_test

import (
	"errors"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// If nobody subscribes to the topic of a replayed letter, the letter is kept, and others
// are replayed. After somebody has subscribed, its next replay succeeds.
func TestReplayKeepsWhatNobodySubscribesTo(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, of mqtttest.Broker) {
		store := deadletter.NewMemory(0)
		b := connected(t, of.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDeadLetters(store))
		for id, topic := range map[string]string{"1": "nobody", "2": "somebody"} {
			l := &deadletter.Letter{ID: id, State: deadletter.Dead, Filter: topic}
			l.Topic, l.Payload, l.QoS = topic, []byte("precious"), 1
			if err := store.Put(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		somebody := subscribe(t, b, "somebody")
		if n, err := b.Replay(within(t, patience)); n != 1 || !errors.Is(err, deadletter.ErrUnrouted) {
			t.Errorf("replayed %d, %v", n, err)
		}
		receive(t, somebody)
		if _, err := store.Get(t.Context(), "1"); err != nil {
			t.Fatalf("the letter that nobody got: %v", err)
		}
		nobody := subscribe(t, b, "nobody")
		if n, err := b.Replay(within(t, patience)); n != 1 || err != nil {
			t.Errorf("replayed %d, %v", n, err)
		}
		if m := receive(t, nobody); m.body != "precious" {
			t.Errorf("got %q", m.body)
		}
		if st := stats(t, store); st.Dead != 0 {
			t.Errorf("%+v", st)
		}
	})
}
