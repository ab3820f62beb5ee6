package faultmatrix_test

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// unmatchedGrace sets how long a message waits for a handler.
func unmatchedGrace(d time.Duration) broker.Option {
	return mqttbroker.WithSubscriberConfig(&v1.Subscriber{UnmatchedGrace: durationpb.New(d)})
}

// foreign publishes at QoS 1 what our clients would refuse to publish, on connections
// without a session.
func (h *harness) foreign(url string) func(topic string, payload []byte) {
	return func(topic string, payload []byte) {
		h.Helper()
		c, err := net.Dial("tcp", strings.TrimPrefix(url, "mqtt://"))
		if err != nil {
			h.Error(err)
			return
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		for _, packet := range [][]byte{
			mqtttest.PacketOf(0x10, mqtttest.StringField("MQTT"), []byte{h.level(), 0xC2, 0, 30}, h.noProperties(),
				mqtttest.StringField(h.name+"-foreign"), mqtttest.StringField(planted.user), mqtttest.StringField(planted.password)),
			mqtttest.PublishPacket(h.level(), 1, topic, 1, string(payload)),
		} {
			if _, err := c.Write(packet); err != nil {
				h.Error(err)
				return
			}
			if _, err := mqtttest.ReadPacket(c); err != nil {
				h.Errorf("no answer: %v", err)
				return
			}
		}
	}
}

func (h *harness) noProperties() []byte {
	if h.five() {
		return []byte{0}
	}
	return nil
}

// alsoAt adds a second address.
func alsoAt(url string) broker.Option {
	return func(o *broker.Options) { o.Addrs = append(o.Addrs, url) }
}

func nothing(context.Context, broker.Event) error { return nil }
