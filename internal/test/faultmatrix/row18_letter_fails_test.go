package faultmatrix_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Row 18: the store of dead letters fails. The message is not acknowledged, storing is
// retried and the health is degraded until the store works again; nothing is lost. Meanwhile
// the handler runs again, because the cause of its failure may be over.
func TestFault_18_LetterNotStored(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := h.mosquitto()
		proxy := mqtttest.NewProxy(h, b.URL())
		store := &shaky{Memory: deadletter.NewMemory(0)}
		s := h.newSubscriber(proxy.URL(), "-sub", mqttbroker.WithDeadLetters(store))
		s.subscribe(h.name+"/data", failing, quick(2)...)
		s.run()
		store.failing.Store(true)
		h.publisher(b.URL(), "-pub").must(h.name+"/data", id(1))
		h.eventually(func() error { return atLeast("tries", int(store.puts.Load()), 5) })
		h.degraded(s, "disk of")
		if n := proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback); n != 0 {
			h.Errorf("%d acknowledged", n)
		}
		store.failing.Store(false)
		h.eventually(func() error {
			return atLeast("acknowledged", proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback), 1)
		})
		if n := s.attempts.Load(); n < 2 {
			h.Errorf("%d attempts", n)
		}
		for _, l := range h.lettersIn(store, deadletter.Dead) {
			h.rec.Handled(idOf(l.Payload))
		}
		h.settled()
		h.eventually(func() error {
			if health := s.health(); health.DeadLettersBlocked {
				return health.DeadLetterError
			}
			return nil
		})
	})
}

func failing(context.Context, string, string) error { return errors.New("always") }

// degraded waits until the health names the failure.
func (h *harness) degraded(s *subscriber, what string) {
	h.Helper()
	h.eventually(func() error {
		health := s.health()
		if err := health.DeadLetterError; !health.DeadLettersBlocked || h.said.err(err) == nil || !strings.Contains(err.Error(), what) {
			return fmt.Errorf("blocked %t: %w", health.DeadLettersBlocked, err)
		}
		return nil
	})
}

// Row 18 with access rules at the broker that refuse dead letters: Mosquitto reports it on
// MQTT 5, and on 3.1.1 acknowledges and drops them. The self-test detects both.
func TestFault_18_LetterRefused(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := h.mosquitto(mqtttest.WithACL("user "+planted.user, "topic readwrite "+h.name+"/#"))
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithServiceName(h.name))
		s.subscribe(h.name+"/data", failing, quick(2)...)
		s.run()
		h.publisher(b.URL(), "-pub").must(h.name+"/data", id(1))
		h.degraded(s, "self-test of retained messages")
		if n := len(s.told()); n != 0 {
			h.Errorf("%d letters", n)
		}
		if err := s.stop(3 * time.Second); err != nil {
			h.Logf("stopped with %v", err) // the message is not acknowledged, and the broker keeps it
		}
		again := h.newSubscriber(b.URL(), "-sub")
		again.record(h.name + "/data")
		again.run()
		h.settled()
	})
}
