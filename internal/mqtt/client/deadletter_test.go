package client

import (
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A message that no subscription matches can be dead-lettered like any other.
func TestLetterWithoutASubscription(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	var told seen
	c := running(t, client(t, mqtttest.InProcess(t).URL(), keepIn(store), func(c *Config) {
		c.Hooks.DeadLettered = func(i event.DeadLetterInfo) { told.add("%q %s %v", i.Filter, i.Topic, i.Err) }
	}), on("other", idle))
	d := &Delivery{Event: envelope.Event{Inbound: &session.Inbound{Topic: "nobody/here", Payload: []byte("x"), QoS: 1}}}
	if err := c.current().deadLetter(within(t, patience), d, errors.New("no subscription"), 0); err != nil {
		t.Fatal(err)
	}
	list, err := store.List(t.Context(), deadletter.Query{})
	if err != nil || len(list) != 1 {
		t.Fatalf("%d letters, %v", len(list), err)
	}
	if l := list[0]; l.Topic != "nobody/here" || string(l.Payload) != "x" || l.Filter != "" || l.Key != "nobody/here" || l.Reason != "no subscription" || l.Attempts != 0 {
		t.Errorf("%+v", l)
	}
	if got := told.all(); len(got) != 1 || got[0] != `"" nobody/here no subscription` {
		t.Errorf("%v", got)
	}
}
