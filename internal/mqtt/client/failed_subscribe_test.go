package client

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A registration that failed because the broker was slow does not mean that messages of the
// filter are unwanted: those of an older session wait for the next registration, like all
// unmatched messages.
func TestFailedSubscribeDropsNothing(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		const backlog, window = 100, 20
		b := mqtttest.InProcess(t, broker.MaxInflight(window))
		before := running(t, client(t, b.URL(), version), on("other", ignore), on("work", ignore))
		if err := before.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		source := running(t, client(t, b.URL(), version, func(c *Config) { c.ClientID = "source" }))
		for i := range backlog {
			publish(t, source, "work", 1, fmt.Sprint(i))
		}
		store := deadletter.NewMemory(0)
		c := running(t, client(t, b.URL(), version, keepIn(store), func(c *Config) { c.ConnectTimeout = time.Second }), on("other", ignore))
		silent := b.Inject(broker.Fault{Direction: broker.ToClient, Type: broker.Suback, Do: broker.Drop()})
		gate := make(chan struct{})
		var got seen
		handler := func(_ context.Context, d *Delivery) error {
			<-gate
			got.add("%s", d.Payload)
			return nil
		}
		if _, err := c.Subscribe(within(t, 50*time.Millisecond), on("work", handler)); err == nil {
			t.Fatal("there was no SUBACK")
		}
		silent.Remove()
		close(gate)
		eventually(t, func() bool { h := c.Health(); return h.UnmatchedKept == window || h.Unmatched > 0 })
		if _, err := c.Subscribe(within(t, patience), on("work", handler)); err != nil {
			t.Fatal(err)
		}
		for i, payload := range got.wait(t, backlog) {
			if payload != fmt.Sprint(i) {
				t.Fatalf("%s in place %d", payload, i)
			}
		}
		if h, st := c.Health(), statsOf(t, store); h.Unmatched > 0 || st.Dead > 0 {
			t.Errorf("%d dropped, %d dead letters", h.Unmatched, st.Dead)
		}
	})
}
