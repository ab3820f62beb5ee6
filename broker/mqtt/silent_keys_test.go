package mqtt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// The broker never acknowledges messages of more keys than may be in flight. They delay
// the other keys of an outbox once, for seconds. They are reported, and are sent when
// the broker accepts them again.
func TestOutboxKeysWithoutAcknowledgement(t *testing.T) {
	t.Parallel()
	const silent = 20
	for _, protocol := range []string{"3.1.1", "5"} {
		for _, qos := range []byte{1, 2} {
			t.Run(fmt.Sprintf("%s QoS %d", protocol, qos), func(t *testing.T) {
				t.Parallel()
				b := mqtttest.InProcess(t)
				drop := b.Inject(broker.Fault{
					Direction: broker.ToBroker, Type: broker.Publish, Do: broker.Drop(),
					Filter: func(topic string) bool { return strings.HasPrefix(topic, "silent/") },
				})
				ear := connected(t, b.URL())
				free, late := subscribe(t, ear, "free/#"), subscribe(t, ear, "silent/#")
				store := memory(t, 0)
				m, out := logged(t, b.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithInFlight(8), mqttbroker.WithOutbox(store))
				if err := m.Connect(); err != nil {
					t.Fatal(err)
				}
				at := mqttbroker.WithPublishQos(qos)
				for i := range silent {
					publish(t, m, fmt.Sprintf("silent/%d", i), "x", at)
				}
				publish(t, m, "free/first", "x", at)
				receive(t, free)
				mqtttest.Eventually(t, patience, func() error {
					if h := m.Health().Outbox; h.UnansweredKeys < silent-2 || h.ClosedKeys < h.UnansweredKeys {
						return fmt.Errorf("%+v", h)
					}
					return nil
				})
				began := time.Now()
				for i := range 200 {
					publish(t, m, fmt.Sprintf("free/%d", i), "x", at)
					receive(t, free)
				}
				if took := time.Since(began); took > patience/2 {
					t.Errorf("200 of the others took %v", took)
				}
				if n := out.count("the broker does not acknowledge a message"); n != 1 {
					t.Errorf("logged %d times", n)
				}
				drop.Remove()
				for range silent {
					receive(t, late)
				}
				wantDepth(t, store, 0)
			})
		}
	}
}
