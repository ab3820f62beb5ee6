package mqtt_test

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestUnsubscribe(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	var subs []broker.Subscriber
	got := make(chan int, 10)
	for i := range 2 {
		sub, err := b.Subscribe("a", func(context.Context, broker.Event) error {
			got <- i
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		subs = append(subs, sub)
	}
	for range 2 { // the second does nothing
		if err := subs[0].Unsubscribe(true); err != nil {
			t.Fatal(err)
		}
	}
	publish(t, b, "a", "x")
	if i := receive(t, got); i != 1 {
		t.Errorf("handler %d ran", i)
	}
	if err := subs[1].Unsubscribe(false); err != nil {
		t.Fatal(err)
	}
	end := subscribe(t, b, "a")
	publish(t, b, "a", "x")
	receive(t, end)
	if len(got) > 0 {
		t.Errorf("handler %d ran after Unsubscribe", <-got)
	}
}

// refusing starts a broker that refuses every filter that contains "secret".
func refusing(t *testing.T) string {
	t.Helper()
	return mqtttest.ScriptedBroker(t, func(conn net.Conn) {
		for {
			p, err := mqtttest.ReadPacket(conn)
			if err != nil {
				return
			}
			switch p.Type() {
			case mqtttest.TypeConnect:
				_, err = conn.Write(mqtttest.ConnackPacket(4, false, 0))
			case mqtttest.TypeSubscribe:
				_, err = conn.Write(mqtttest.SubackPacket(4, p.ID(), codes(p)...))
			case mqtttest.TypeUnsubscribe:
				_, err = conn.Write(mqtttest.AckPacket(mqtttest.TypeUnsuback, p.ID()))
			}
			if err != nil {
				return
			}
		}
	}).URL()
}

// codes answers the filters of a SUBSCRIBE.
func codes(p mqtttest.Packet) (codes []byte) {
	for body := p.Body[2:]; len(body) > 2; {
		n := int(body[0])<<8 | int(body[1])
		filter := string(body[2 : 2+n])
		code := body[2+n]
		if strings.Contains(filter, "secret") {
			code = 0x80
		}
		codes, body = append(codes, code), body[3+n:]
	}
	return codes
}

func TestRefusedFilter(t *testing.T) {
	t.Parallel()
	t.Run("before Connect", func(t *testing.T) {
		t.Parallel()
		b := open(t, refusing(t))
		for _, f := range []string{"open/1", "secret/1", "secret/2"} {
			subscribe(t, b, f)
		}
		err := b.Connect()
		wantReason(t, err, event.ReasonRefused, 502)
		for _, want := range []string{`"secret/1"`, `"secret/2"`, "SUBACK 0x80"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s is not in: %v", want, err)
			}
		}
		wantReason(t, b.Publish(t.Context(), "a", broker.NewMessage("x")), event.ReasonNotConnected, 503)
	})
	t.Run("while connected", func(t *testing.T) {
		t.Parallel()
		b := connected(t, refusing(t))
		subscribe(t, b, "open/1")
		_, err := b.Subscribe("secret/1", nothing, nil)
		if e := wantReason(t, err, event.ReasonRefused, 502); e.Topic != "secret/1" {
			t.Errorf("topic %q", e.Topic)
		}
		subscribe(t, b, "open/2")
	})
}

func TestUnsubscribedFilterIsGoneFromBroker(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	b := connected(t, server.URL(), mqttbroker.WithClientId("sub"))
	sub, err := b.Subscribe("a", nothing, nil)
	if err != nil {
		t.Fatal(err)
	}
	filters := func() (all []string) {
		for _, c := range server.Sessions() {
			all = append(all, c.Filters...)
		}
		return all
	}
	if f := filters(); !slices.Equal(f, []string{"a"}) {
		t.Errorf("filters %v", f)
	}
	if err := sub.Unsubscribe(true); err != nil {
		t.Fatal(err)
	}
	if f := filters(); len(f) != 0 {
		t.Errorf("filters %v", f)
	}
}
