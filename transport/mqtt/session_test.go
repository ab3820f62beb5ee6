package mqtt_test

import (
	"fmt"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Which messages a subscriber receives that were published while it was away, by the
// QoS of message and subscription, and by clean session. The standard lets a broker
// choose whether it keeps QoS 0 messages for a session [MQTT-3.1.2-5]: Mosquitto does
// so only with queue_qos0_messages, and the in-process broker never does. In all other
// cases brokers must behave alike.
func TestQoSAndCleanSession(t *testing.T) {
	t.Parallel()
	cells := []struct {
		qos   byte
		clean bool
		kept  bool
	}{
		{0, true, false},
		{0, false, false},
		{1, true, false},
		{1, false, true},
		{2, true, false},
		{2, false, true},
	}
	eachBroker(t, func(t *testing.T, b mqtttest.Broker) {
		for _, c := range cells {
			t.Run(fmt.Sprintf("QoS %d clean %t", c.qos, c.clean), func(t *testing.T) {
				t.Parallel()
				checkCell(t, b, "3.1.1", c.qos, c.clean, c.kept)
				checkCell(t, b, "5", c.qos, c.clean, c.kept)
			})
		}
	})
}

func checkCell(t *testing.T, b mqtttest.Broker, protocol string, level byte, clean, kept bool) {
	t.Helper()
	version := mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(protocol))
	id := fmt.Sprintf("cell-%s-%d-%t", protocol, level, clean)
	got := make(chan string, 10)
	subscriber, _ := server(t, b.URL(), version, mqttserver.WithClientId(id), mqttserver.WithCleanSession(clean))
	register(t, subscriber, id+"/+", into(got), mqttbroker.WithSubscribeQos(level))
	publisher, _ := server(t, b.URL(), version)
	start(t, publisher)
	qos := mqttbroker.WithPublishQos(level)

	start(t, subscriber)
	publish(t, publisher, id+"/here", qos)
	if topic := receive(t, got); topic != id+"/here" {
		t.Errorf("MQTT %s, connected: got %q", protocol, topic)
	}
	if err := subscriber.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	left(t, b, id, clean)
	publish(t, publisher, id+"/away", qos)
	publish(t, publisher, "fence") // acknowledged after the broker has accepted the QoS 0 message before it
	start(t, subscriber)

	want := 2 // topics are handled in parallel, so in any order
	if kept {
		want++
	}
	publish(t, publisher, id+"/back", qos)
	arrived := map[string]int{receive(t, got): 1}
	publish(t, publisher, id+"/end", qos)
	for range want - 1 {
		arrived[receive(t, got)]++
	}
	if arrived[id+"/away"] == 1 != kept || len(arrived) != want || len(got) > 0 {
		t.Errorf("MQTT %s, after the absence: %v; want the message kept: %t", protocol, arrived, kept)
	}
	t.Logf("%s, MQTT %s: published while away, kept: %t", b.Features().Name, protocol, arrived[id+"/away"] == 1)
}

// left waits until the in-process broker has noticed that a client disconnected, and
// has deleted its clean session. If the client came back earlier, the end of the old
// connection might remove the new subscriptions.
func left(t *testing.T, b mqtttest.Broker, id string, clean bool) {
	t.Helper()
	inProcess, ok := b.(*mqtttest.InProcessBroker)
	if !ok {
		return
	}
	mqtttest.Eventually(t, patience, func() bool {
		for _, c := range inProcess.Sessions() {
			if c.ClientID == id && (c.Connected || clean) {
				return false
			}
		}
		return true
	})
}
