package mqtt_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A service that is started again takes over the session that its previous publisher
// still has. No loss is counted as a takeover by another client. Messages published
// meanwhile wait for the new connection, and each is sent once.
func TestRestartedPublisherSendsOnce(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.1.1", "5"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			var mu sync.Mutex
			sent := make(map[string]int)
			b.Observe(func(o testbroker.Observed) {
				if o.Direction == testbroker.ToBroker && o.Type() == testbroker.Publish {
					mu.Lock()
					sent[o.Packet.Topic()]++
					mu.Unlock()
				}
			})
			for _, life := range []string{"first", "second", "third"} {
				srv, out := server(t, b.URL(), mqttserver.WithClientId("svc"), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(version)))
				start(t, srv)
				err := srv.Publish(within(t, patience), "life/"+life, broker.NewMessage(reading{1}))
				if err != nil {
					t.Fatalf("%s: %v", life, err)
				}
				if lost := srv.Health().SessionsLost; lost > 0 || strings.Contains(out.String(), "lost") {
					t.Errorf("%s: %d sessions lost:\n%s", life, lost, out)
				}
				if err := srv.Stop(within(t, patience)); err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				if n := sent["life/"+life]; n != 1 {
					t.Errorf("%s: sent %d times", life, n)
				}
				mu.Unlock()
			}
		})
	}
}
