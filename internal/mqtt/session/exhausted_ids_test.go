package session

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	sbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// The packet ids of QoS 2 messages that the broker accepted and never answered
// are not used again, even if no others are left: the broker would take a new
// message with such an id for a repetition, and acknowledge it without passing
// it on.
func TestPacketIDsOfUnansweredMessagesRunOut(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]Protocol{"3.1.1": Version31, "5": Version5} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const window, rounds = 8, 2 // as with half of all ids in flight
			b := mqtttest.InProcess(t)
			silent := b.Inject(sbroker.Fault{Direction: sbroker.ToClient, Type: sbroker.Pubrec, Do: sbroker.Drop()})
			s := open(t, b.URL(), windowOf(window), speaking(protocol), func(c *Config) { c.FreshStart = true })
			s.out.win.keep(rounds, 0)
			s.Start()
			ready(t, s)
			for range rounds {
				fill(t, s, window)
				mqtttest.Eventually(t, patience, func() bool { return s.InFlight() < window })
			}
			silent.Remove()
			before := b.Counts().Published
			for i := range window {
				if err := s.Publish(within(t, patience), &Message{Topic: fmt.Sprint("free/", i), QoS: 2}); err != nil {
					t.Error(err)
				}
			}
			if n := b.Counts().Published - before; n < window {
				t.Errorf("%d of %d acknowledged messages were published", n, window)
			}
		})
	}
}

// fill leaves n messages in flight that no caller waits for, and makes another
// one wait for room.
func fill(t *testing.T, s *Session, n int) {
	t.Helper()
	var all sync.WaitGroup
	publish := func(name string) {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if s.Publish(ctx, &Message{Topic: name, QoS: 2}) == nil {
			t.Errorf("%s was acknowledged", name)
		}
	}
	for i := range n {
		all.Go(func() { publish(fmt.Sprint("silent/", i)) })
	}
	all.Wait()
	publish("one more")
}
