package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A broker never acknowledges the messages of one topic, because the service that it
// asks for permission hangs. This does not take room from other topics permanently.
func TestTopicWithoutAcknowledgement(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		for _, qos := range []byte{1, 2} {
			t.Run(fmt.Sprintf("%s QoS %d", protocol, qos), func(t *testing.T) {
				t.Parallel()
				b := mqtttest.InProcess(t)
				forbid(b, testbroker.Publish, "silent", testbroker.Drop())
				m, out := logged(t, b.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithInFlight(8))
				if err := m.Connect(); err != nil {
					t.Fatal(err)
				}
				at := mqttbroker.WithPublishQos(qos)
				for range 10 {
					if err := m.Publish(within(t, 100*time.Millisecond), "silent", broker.NewMessage("x"), at); err == nil {
						t.Fatal("acknowledged")
					}
				}
				for range 100 {
					publish(t, m, "free", "x", at)
				}
				if out.count(`the first to "silent"`) != 1 {
					t.Error("the log does not name the topic")
				}
			})
		}
	}
}

// Callers that publish occasionally and wait only briefly also find room, although
// there is usually no caller waiting when the client checks for unanswered messages.
func TestTopicWithoutAcknowledgementAndImpatientCallers(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, testbroker.Publish, "silent", testbroker.Drop())
			m := connected(t, b.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithInFlight(8))
			for range 8 {
				if err := m.Publish(within(t, 50*time.Millisecond), "silent", broker.NewMessage("x")); err == nil {
					t.Fatal("acknowledged")
				}
			}
			seldom := time.NewTicker(2 * time.Second)
			defer seldom.Stop()
			for range 5 {
				if m.Publish(within(t, 300*time.Millisecond), "free", broker.NewMessage("x")) == nil {
					return
				}
				<-seldom.C
			}
			t.Error("another topic finds no room")
		})
	}
}
