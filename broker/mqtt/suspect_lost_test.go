package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Without a session at the broker, the message that ended a connection may be gone
// before it is convicted: its caller has stopped waiting, or it has QoS 2 and cannot be
// sent again. A stream of such messages is held back nevertheless, and is not taken for
// another client.
func TestForbiddenPublishWithoutSession(t *testing.T) {
	t.Parallel()
	for _, e := range endings() {
		for _, qos := range []byte{1, 2} {
			t.Run(fmt.Sprintf("%s QoS %d", e.name, qos), func(t *testing.T) {
				t.Parallel()
				b := mqtttest.InProcess(t)
				forbid(b, mqtttest.TypePublish, "forbidden", e.do)
				m, out := logged(t, b.URL(), mqttbroker.WithProtocol(e.protocol),
					mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
				if err := m.Connect(); err != nil {
					t.Fatal(err)
				}
				patient := 5 * time.Second
				if qos == 1 {
					patient = 30 * time.Millisecond
				}
				stop := others(t, m)
				mqtttest.Eventually(t, 2*patience, func() bool {
					err := m.Publish(within(t, patient), "forbidden", broker.NewMessage("x"), mqttbroker.WithPublishQos(qos))
					var got *event.Error
					return errors.As(err, &got) && got.Convicted && got.RetryAfter > 0
				})
				stop()
				if out.count("another client") != 0 {
					t.Error("taken for another client")
				}
			})
		}
	}
}

// others publishes to other topics at both QoS levels until it is stopped. None of
// these messages is convicted or waits for long.
func others(t *testing.T, m *mqttbroker.Broker) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			tick := time.NewTicker(time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				<-tick.C
				err := m.Publish(within(t, patience), fmt.Sprintf("free/%d", i), broker.NewMessage("x"), mqttbroker.WithPublishQos(1+byte(i&1)))
				var got *event.Error
				if errors.As(err, &got) && got.Reason != event.ReasonSessionLost {
					t.Errorf("another topic: %v", err)
				}
			}
		})
	}
	return func() { cancel(); all.Wait() }
}

// A network that cuts connections does not cause messages to be held back, even if the
// messages in flight cannot be sent again.
func TestCutsWithoutSessionHoldNobody(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	m := connected(t, p.URL(), mqttbroker.WithProtocol("5"))
	stop := others(t, m)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 60 {
		<-tick.C
		p.Cut()
	}
	stop()
	publish(t, m, "free/1", "x", mqttbroker.WithPublishQos(2))
}
