package mqtt_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Requests to a replier that does not answer leave room for requests to others, however
// many there are.
func TestDeadReplierLeavesRoom(t *testing.T) {
	t.Parallel()
	eachInProcess(t, func(t *testing.T, c carrier, _ *mqtttest.InProcessBroker) {
		startReplier(t, c)
		m := c.broker(t)
		ctx, cancel := context.WithCancel(t.Context())
		var dead, refused sync.WaitGroup
		refused.Add(1)
		full := sync.OnceFunc(refused.Done)
		for range 3000 {
			dead.Go(func() {
				_, err := m.Request(ctx, "dead", broker.NewMessage(reading{1}), broker.WithRequestTimeout(time.Minute))
				if e, ok := errors.AsType[*event.Error](err); ok && e.Reason == event.ReasonQuota {
					full()
				}
			})
		}
		refused.Wait()
		for range 100 {
			r, err := mqttbroker.Request[reading](within(t, patience), m, "double", reading{1})
			if err != nil || r.Celsius != 2 {
				t.Errorf("another replier: %v %v", r, err)
				break
			}
		}
		cancel()
		dead.Wait()
	})
}
