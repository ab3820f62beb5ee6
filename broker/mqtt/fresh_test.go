package mqtt_test

import (
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A process that was killed in the middle of QoS 2 exchanges leaves them at the
// broker. The next process of the same client id finds its window full: Mosquitto
// 2.0.11 ends the connection of who exceeds it, and drops QoS 1 messages that it
// has acknowledged meanwhile. Every publish must arrive all the same.
func TestExchangesOfAnEarlierProcessCostNothing(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			server := mqtttest.Mosquitto(t)
			version := map[string]byte{"3.1.1": 4, "5": 5}[protocol]
			dead := mqtttest.Raw(t, server.URL())
			dead.Connect(version, "fresh-pub", false)
			// As many as this broker takes at a time.
			const first, n = 0x8100, 20
			for i := range uint16(n) {
				dead.Send(mqtttest.PublishPacket(version, first+i, "fresh/old", 2, "old"))
				dead.Expect(mqtttest.TypePubrec)
			}
			_ = dead.Close()

			watcher := mqtttest.Raw(t, server.URL())
			watcher.Connect(4, "fresh-watcher", true)
			watcher.Send(mqtttest.SubscribePacket(4, 1, "fresh/new", 0))
			watcher.Expect(mqtttest.TypeSuback)

			p, err := mqttbroker.NewPublisher(broker.WithAddress(server.URL()),
				mqttbroker.WithClientId("fresh"), mqttbroker.WithProtocol(protocol))
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Connect(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 4 * n {
				if err := p.Publish(t.Context(), "fresh/new", []byte("new"), mqttbroker.QoS(2)); err != nil {
					t.Fatal(err)
				}
			}
			for range 4 * n {
				watcher.Expect(mqtttest.TypePublish)
			}
			if err := p.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
