package mqtt_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// On a link with a long delay, such as a satellite link, the message that ends
// connections is also found, in a time that grows with the delay.
func TestForbiddenPublishFarAway(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, testbroker.Publish, "forbidden", testbroker.End(0))
			p := mqtttest.NewProxy(t, b.URL())
			p.Delay(mqtttest.ToBroker, 350*time.Millisecond)
			p.Delay(mqtttest.ToClient, 350*time.Millisecond)
			m := connected(t, p.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("far"))
			var all sync.WaitGroup
			all.Go(func() {
				err := m.Publish(within(t, 60*time.Second), "forbidden", broker.NewMessage("x"))
				if got := wantReason(t, err, event.ReasonRefused, 502); !got.Convicted {
					t.Errorf("%+v", got)
				}
			})
			for i := range 50 {
				all.Go(func() {
					if err := m.Publish(within(t, 60*time.Second), fmt.Sprintf("free/%d", i), broker.NewMessage("x")); err != nil {
						t.Errorf("another topic: %v", err)
					}
				})
			}
			all.Wait()
		})
	}
}
