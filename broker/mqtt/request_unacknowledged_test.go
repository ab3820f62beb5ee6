package mqtt_test

import (
	"context"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A reply proves that its request arrived, even if the broker never acknowledges the
// request.
func TestReplyToUnacknowledgedRequest(t *testing.T) {
	t.Parallel()
	ib := mqtttest.InProcess(t)
	ib.Inject(testbroker.Fault{
		Direction: testbroker.ToClient, Type: testbroker.Puback, Client: testbroker.ClientID("asker-pub"), Do: testbroker.Drop(),
	})
	replier := connected(t, ib.URL(), mqttbroker.WithProtocol("5"))
	if _, err := replier.Subscribe("ask", func(_ context.Context, e broker.Event) error {
		to, correlation := e.RawMessage().(*client.Delivery).Reply()
		c := mqtttest.Raw(t, ib.URL()[len("mqtt://"):])
		c.Connect(5, "raw", true)
		property := append([]byte{9}, mqtttest.StringField(string(correlation))...)
		c.Send(mqtttest.PacketOf(0x30, mqtttest.StringField(to), []byte{byte(len(property))}, property, []byte("pong")))
		return nil
	}, nil); err != nil {
		t.Fatal(err)
	}
	b := open(t, ib.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("asker"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	started := time.Now()
	m, err := b.Request(within(t, patience), "ask", broker.NewMessage("x"))
	if err != nil || string(m.Body.([]byte)) != "pong" {
		t.Errorf("%v, %v", m, err)
	}
	if took := time.Since(started); took > patience/2 {
		t.Errorf("took %v: waited for the acknowledgement", took)
	}
	ib.Cut("asker-pub") // or Disconnect waits for the lost PUBACK
}
