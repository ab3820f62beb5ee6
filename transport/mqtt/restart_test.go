package mqtt_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// What a publisher has in flight at QoS 2 is finished after an orderly restart of
// Mosquitto (reports.md A12): nothing fails with "may have been sent", and the
// broker takes nothing twice.
func TestQoS2OverARestartOfMosquitto(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			qos2OverARestart(t, protocol)
		})
	}
}

func qos2OverARestart(t *testing.T, protocol string) {
	t.Helper()
	const publishers, each, restarts = 16, 200, 3
	mosquitto := mqtttest.Mosquitto(t)
	srv, _ := server(t, mosquitto.URL(), mqttserver.WithClientId("twice"), mqttserver.WithCodec(""),
		mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(protocol)))
	counts := make(map[string]int)
	done := make(chan struct{})
	err := srv.RegisterSubscriber(t.Context(), "a/+", func(ctx context.Context, e broker.Event) error {
		tr, _ := mqttserver.FromContext(ctx)
		switch m := string(e.Message().Body.([]byte)); {
		case m == "end":
			close(done)
		case tr.Duplicate() && counts[m] > 0:
			// Mosquitto 2.0.11 sends a message again whose PUBCOMP it did not read before it stopped,
			// in the place of its PUBREL [MQTT-4.4.0-1].
		default:
			counts[m]++ // one at a time
		}
		return nil
	}, nil, mqttserver.WithSubscribeQos(2), broker.WithSubscribeConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	var all sync.WaitGroup
	var sent atomic.Int64
	for p := range publishers {
		all.Go(func() {
			for i := range each {
				err := srv.Publish(within(t, patience), fmt.Sprintf("a/%d", p),
					broker.NewMessage(fmt.Sprintf("%d-%d", p, i)), mqttbroker.WithPublishQos(2))
				if err != nil {
					t.Errorf("publish %d of %d: %v", i, p, err)
				}
				sent.Add(1)
			}
		})
	}
	for i := range restarts {
		mqtttest.Eventually(t, 4*patience, func() bool { return sent.Load() > int64((i+1)*publishers*each/(restarts+1)) })
		mosquitto.Stop()
		mosquitto.Start()
	}
	all.Wait()
	if err := srv.Publish(within(t, patience), "a/end", broker.NewMessage("end"), mqttbroker.WithPublishQos(2)); err != nil {
		t.Fatal(err)
	}
	receive(t, done)
	mqtttest.Eventually(t, patience, func() bool { return srv.Health().Queued+srv.Health().Running == 0 })
	if err := srv.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	for m, n := range counts {
		if n != 1 {
			t.Errorf("%s arrived %d times", m, n)
		}
	}
	if len(counts) != publishers*each {
		t.Errorf("%d of %d arrived", len(counts), publishers*each)
	}
}
