package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A broker never answers the SUBSCRIBE of one filter, because the service that it asks
// for permission hangs. Other filters are granted.
func TestFilterWithoutAnswer(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, broker.Subscribe, "silent", broker.Drop())
			spy := new(lossSpy)
			m, out := logged(t, b.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithConnectTimeout(time.Second),
				mqttbroker.WithHooks(spy))
			subscribe(t, m, "silent") // subscribed first
			var got []<-chan seen
			for i := range 20 {
				got = append(got, subscribe(t, m, fmt.Sprintf("a/%d", i)))
			}
			if err := m.Connect(); err != nil {
				t.Fatal(err)
			}
			mqtttest.Eventually(t, patience, func() error {
				if granted := m.Health().Granted; granted != 20 {
					return fmt.Errorf("%d filters granted", granted)
				}
				return nil
			})
			mqtttest.Eventually(t, patience, func() bool {
				return strings.Contains(out.String(), `subscribe "silent": timeout`)
			})
			lost := len(spy.all())
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Second) // four times the timeout of an answer
			defer cancel()
			for n := 0; ctx.Err() == nil; n++ {
				publish(t, m, fmt.Sprintf("a/%d", n%20), "x")
				receive(t, got[n%20])
			}
			if now := len(spy.all()); now != lost || lost > 6 {
				t.Errorf("%d connections lost, then %d", lost, now)
			}
			if h := m.Health(); h.Ready {
				t.Error("ready")
			}
		})
	}
}
