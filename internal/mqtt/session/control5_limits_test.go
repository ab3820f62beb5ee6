package session

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/eclipse/paho.golang/packets"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestLimitsOfAnMQTT5Broker(t *testing.T) {
	t.Parallel()
	const maximumQoS, retainAvailable, maximumPacket = 0x24, 0x25, 0x27
	seen := make(chan packets.Packet, 10)
	url := scripted5(t, welcome(maximumQoS, 1, retainAvailable, 0, maximumPacket, 0, 0, 0, 100), func(p *peer5) {
		for got := p.next(); got != nil; got = p.next() {
			seen <- got
			if pub, ok := got.(*packets.Publish); ok {
				p.send(ack(mqtttest.TypePuback, pub.PacketID))
			}
		}
	})
	s := start(t, url, speaking(Version5))
	ctx := within(t, patience)
	asError(t, s.Publish(ctx, &Message{Topic: "a", QoS: 2}), event.ReasonUnsupported)
	asError(t, s.Publish(ctx, &Message{Topic: "a", QoS: 1, Retain: true}), event.ReasonUnsupported)
	asError(t, s.Publish(ctx, &Message{Topic: "a", QoS: 1, Payload: make([]byte, 93)}), event.ReasonTooLarge)
	asError(t, s.Publish(ctx, &Message{Topic: "a", Payload: make([]byte, 100)}), event.ReasonTooLarge)
	asError(t, s.Publish(ctx, &Message{
		Topic: "a", QoS: 1, Properties: &Properties{User: []UserProperty{{Key: "k", Value: strings.Repeat("v", 100)}}},
	}), event.ReasonTooLarge)
	if err := s.Publish(ctx, &Message{Topic: "a", QoS: 1, Payload: make([]byte, 92)}); err != nil { // 100 bytes in total
		t.Fatal(err)
	}
	s.Close(ctx)
	if pub, ok := (<-seen).(*packets.Publish); !ok || len(pub.Payload) != 92 {
		t.Fatal("a refused message was on the wire")
	}
}

func TestReceiveMaximumOfAnMQTT5Broker(t *testing.T) {
	t.Parallel()
	const receiveMaximum, most, messages = 0x21, 3, 60
	var over sync.Once
	var outstanding int
	exceeded := make(chan int, 1)
	url := scripted5(t, welcome(receiveMaximum, 0, most), func(p *peer5) {
		var held []uint16
		for {
			switch got := p.next().(type) {
			case *packets.Publish:
				if outstanding++; outstanding > most {
					over.Do(func() { exceeded <- outstanding })
				}
				if held = append(held, got.PacketID); len(held) < most {
					continue // as many as the broker accepts
				}
				for _, h := range slices.Backward(held) { // in any order
					outstanding--
					p.send(ack(mqtttest.TypePuback, h))
				}
				held = held[:0]
			case nil, *packets.Disconnect:
				return
			}
		}
	})
	s := start(t, url, speaking(Version5), windowOf(64))
	var o outcomes
	for range messages {
		if err := publishAsync(within(t, patience), s, &Message{Topic: "a", QoS: 1}, o.add); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range o.wait(t, messages) {
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case n := <-exceeded:
		t.Fatalf("%d outstanding, the broker takes %d", n, most)
	default:
	}
}

// Nothing waits on a connection that ends during SUBSCRIBE.
func TestConnectionLostDuringSubscribe(t *testing.T) {
	t.Parallel()
	url := scripted5(t, welcome(), func(p *peer5) {
		if p.n > enoughWeight/weightInOrder { // one more would convict the filter
			serveAll5(p)
			return
		}
		_ = read5(p.Conn)
	})
	s := start(t, url, speaking(Version5))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := s.Subscribe(ctx, Filter{Filter: "a", QoS: 1}); err != nil {
		t.Fatal(err)
	}
}
