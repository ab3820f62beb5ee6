package mqtt_test

import (
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A QoS 2 message that the broker accepted with PUBREC is not blamed for connections
// that end while its PUBREL is in flight.
func TestMessageTakenByPubrecIsNotConvicted(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"3.1.1", "5"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			srv, _ := server(t, b.URL(), mqttserver.WithClientId("svc"), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(proto)))
			start(t, srv)
			b.Inject(testbroker.Fault{
				Direction: testbroker.ToBroker, Type: testbroker.Pubrel, Times: 6, Do: testbroker.CutBefore(),
			})
			err := srv.Publish(within(t, patience), "innocent", broker.NewMessage(reading{1}), mqttbroker.WithPublishQos(2))
			if err != nil {
				t.Errorf("taken by PUBREC, and yet: %v", err)
			}
		})
	}
}

func TestMessageTakenByPubrecIsNotQuarantined(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	store, err := outboxfile.Open(t.TempDir()+"/o.db", outboxfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	srv, _ := server(t, b.URL(), mqttserver.WithClientId("svc"), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store)))
	start(t, srv)
	b.Inject(testbroker.Fault{Direction: testbroker.ToBroker, Type: testbroker.Pubrel, Times: 6, Do: testbroker.CutBefore()})
	if err := srv.Publish(within(t, patience), "innocent", broker.NewMessage(reading{1}), mqttbroker.WithPublishQos(2)); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() bool { h := srv.Health().Outbox; return h.Depth == 0 || h.Quarantined > 0 })
	if h := srv.Health().Outbox; h.Quarantined > 0 {
		q, err := srv.Quarantined(t.Context(), 0, 10)
		t.Errorf("quarantined: %+v %v", q, err)
	}
}
