package mqtt_test

import (
	"context"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// If one operator pauses a subscription while another one resumes it, one of them wins: a paused
// subscription shows the name of the operator, and a restart changes nothing.
func TestPauseAndResumeAtOnce(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	subscribe(t, b, "steered")
	state := func() event.SubscriptionPause {
		all := b.Subscriptions()
		if len(all) != 1 {
			t.Fatalf("%+v", all)
		}
		return all[0]
	}
	for i := range 30000 {
		var both sync.WaitGroup
		both.Go(func() {
			if err := b.Pause(t.Context(), "steered", event.PausedBy("ann", "")); err != nil {
				t.Error(err)
			}
		})
		both.Go(func() {
			if err := b.Resume(t.Context(), "steered"); err != nil {
				t.Error(err)
			}
		})
		both.Wait()
		if s := state(); s.State == event.PausedByHand && s.By != "ann" {
			t.Fatalf("after %d: %+v", i, s)
		}
		if i%5000 > 0 {
			continue
		}
		before := state().State
		if err := b.Stop(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := b.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if after := state().State; after != before {
			t.Fatalf("after %d: %s before a restart, then %s", i, before, after)
		}
	}
}
