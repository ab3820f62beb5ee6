package mqtt_test

import (
	"context"
	"encoding/binary"
	"net"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// oldBroker passes on the filter of each SUBSCRIBE and UNSUBSCRIBE and grants it. After
// each grant it sends a message.
func oldBroker(t *testing.T, topic string) (url string, filters <-chan string) {
	t.Helper()
	ch := make(chan string, 10)
	fake := mqtttest.ScriptedBroker(t, func(conn net.Conn) {
		version := byte(4)
		for {
			p, err := mqtttest.ReadPacket(conn)
			if err != nil {
				return
			}
			rest := func() (id uint16, filter string) { // after the packet id and, on MQTT 5, the properties
				body := p.Body[2:]
				if version == 5 {
					body = body[1+int(body[0]):]
				}
				return binary.BigEndian.Uint16(p.Body), string(body[2 : 2+binary.BigEndian.Uint16(body)])
			}
			switch p.Type() {
			case mqtttest.TypeConnect:
				version = p.Body[6]
				_, _ = conn.Write(mqtttest.ConnackPacket(version, false, 0))
			case mqtttest.TypeSubscribe:
				id, filter := rest()
				ch <- filter
				_, _ = conn.Write(mqtttest.SubackPacket(version, id, 0))
				_, _ = conn.Write(mqtttest.PublishPacket(version, 0, topic, 0, "x"))
			case mqtttest.TypeUnsubscribe:
				id, filter := rest()
				ch <- filter
				ack := mqtttest.AckPacket(mqtttest.TypeUnsuback, id)
				if version == 5 {
					ack = []byte{byte(mqtttest.TypeUnsuback) << 4, 4, byte(id >> 8), byte(id), 0, 0}
				}
				_, _ = conn.Write(ack)
			}
		}
	})
	return fake.URL(), ch
}

// The client sends shared filters with the broker's own prefix. In this API the prefix
// is $share.
func TestSharedGroupPrefix(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		opt  broker.Option
		want string
	}{
		"default":       {mqttbroker.WithSharedGroupPrefix(""), "$share/g/a/+"},
		"option":        {mqttbroker.WithSharedGroupPrefix("$SharedSubscription"), "$SharedSubscription/g/a/+"},
		"without group": {mqttbroker.WithSharedGroupPrefix("$queue"), "$queue/a/+"},
	} {
		for _, version := range []string{"3.1.1", "5"} {
			t.Run(name+" "+version, func(t *testing.T) {
				t.Parallel()
				url, filters := oldBroker(t, "a/b")
				b := connected(t, url, mqttbroker.WithProtocol(version), tt.opt)
				got := make(chan string, 10)
				sub, err := b.Subscribe("a/+", func(_ context.Context, e broker.Event) error {
					got <- e.Topic()
					return nil
				}, nil, broker.WithSubscribeQueueName("g"))
				if err != nil {
					t.Fatal(err)
				}
				if f := receive(t, filters); f != tt.want {
					t.Errorf("subscribed to %s, want %s", f, tt.want)
				}
				if topic := receive(t, got); topic != "a/b" {
					t.Errorf("got %s", topic)
				}
				if err := sub.Unsubscribe(true); err != nil {
					t.Error(err)
				}
				if f := receive(t, filters); f != tt.want {
					t.Errorf("unsubscribed from %s, want %s", f, tt.want)
				}
			})
		}
	}
	t.Run("two groups of a filter without groups", func(t *testing.T) {
		t.Parallel()
		b := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithSharedGroupPrefix("$queue"))
		nothing := func(context.Context, broker.Event) error { return nil }
		for _, tt := range []struct{ filter, group, want string }{
			{"a", "g", ""}, {"a", "g", ""}, {"b", "h", ""}, {"a", "", ""}, {"a", "h", "$queue does not distinguish groups"},
		} {
			_, err := b.Subscribe(tt.filter, nothing, nil, broker.WithSubscribeQueueName(tt.group))
			if (err != nil) != (tt.want != "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%+v: %v", tt, err)
			}
		}
	})
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		for _, prefix := range []string{"share", "$", "$a/b", "$share/", "$+", "$SYS", "$\x00"} {
			err := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithSharedGroupPrefix(prefix)).Init()
			wantReason(t, err, event.ReasonBadRequest, 400)
			if !strings.Contains(err.Error(), "subscriber.shared_group_prefix: ") {
				t.Errorf("%q: %v", prefix, err)
			}
		}
	})
}
