package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// The options of retained dead letters: limits, the share of one origin, and keys.
func TestOptionsOfRetainedDeadLetters(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	options := []broker.Option{
		mqttbroker.WithServiceName("bounded"), mqttbroker.WithMaxRetainedDeadLetters(3),
		mqttbroker.WithMaxRetainedDeadLetterBytes(1 << 20), mqttbroker.WithRetainedDeadLetterShare(1),
	}
	b := connected(t, url, append(options, mqttbroker.WithDeadLetterSigningKeys(bytes.Repeat([]byte("k"), 32)))...)
	_, err := b.Subscribe("devices/+/data", func(context.Context, broker.Event) error {
		return event.Permanent(errors.New("cannot be decoded"))
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // one origin, which may use the whole store with a share of 1
		publish(t, b, "devices/A/data", "x")
	}
	store, err := b.DeadLetters()
	if err != nil {
		t.Fatal(err)
	}
	list := func(s deadletter.Store) (all []*deadletter.Letter) {
		all, err := s.List(within(t, patience), deadletter.Query{})
		if err != nil {
			t.Error(err)
		}
		return all
	}
	mqtttest.Eventually(t, patience, func() bool { return len(list(store)) == 3 })
	stats, err := store.Stats(within(t, patience))
	if err != nil || stats.Max != 3 || stats.MaxBytes != 1<<20 {
		t.Errorf("bounds %d and %d bytes, want 3 and 1 MiB: %v", stats.Max, stats.MaxBytes, err)
	}
	for _, l := range list(store) {
		if l.Suspect != "" {
			t.Errorf("a letter that was signed is suspect: %s", l.Suspect)
		}
	}
	publish(t, b, "devices/B/data", "x")
	mqtttest.Eventually(t, patience, func() bool { return b.Health().DeadLettersBlocked })

	if err := store.Delete(within(t, patience), list(store)[0].ID); err != nil { // makes room
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() bool { return !b.Health().DeadLettersBlocked })

	other := connected(t, url, append(options, mqttbroker.WithDeadLetterSigningKeys(bytes.Repeat([]byte("o"), 32)))...)
	subscribe(t, other, "devices/+/data")
	if store, err = other.DeadLetters(); err != nil {
		t.Fatal(err)
	}
	for _, l := range list(store) {
		if l.Suspect == "" {
			t.Error("a letter signed with another key is not suspect")
		}
	}
}
