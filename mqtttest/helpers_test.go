package mqtttest_test

import (
	"bytes"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// failure runs f and returns what it failed with, empty if it did not.
func failure(f func(testing.TB)) (message string) {
	defer func() {
		if p := recover(); p != nil {
			message = p.(string)
		}
	}()
	f(new(exampleTB))
	return ""
}

func TestEventually(t *testing.T) {
	t.Parallel()
	n := 0
	mqtttest.Eventually(t, patience, func() bool { n++; return n == 3 })
	if n != 3 {
		t.Errorf("called %d times", n)
	}
	got := failure(func(tb testing.TB) {
		mqtttest.Eventually(tb, time.Millisecond, func() error { return errors.New("two missing") }, "rows of %s", "ann")
	})
	for _, part := range []string{"1ms", "rows of ann", "two missing"} {
		if !strings.Contains(got, part) {
			t.Errorf("failure %q does not tell %q", got, part)
		}
	}
	if got := failure(func(tb testing.TB) { mqtttest.Eventually(tb, 0, func() bool { return false }) }); got == "" {
		t.Error("a condition that never holds passes")
	}
}

func TestScriptedBrokerScriptsAnswers(t *testing.T) {
	t.Parallel()
	f := mqtttest.ScriptedBroker(t, func(c net.Conn) {
		for {
			p, err := mqtttest.ReadPacket(c)
			if err != nil {
				return
			}
			switch p.Type() {
			case mqtttest.TypeConnect:
				_, _ = c.Write(mqtttest.ConnackPacket(4, false, 0))
			case mqtttest.TypeSubscribe:
				_, _ = c.Write(mqtttest.SubackPacket(4, p.ID(), 0x80))
			}
		}
	})
	c := dial(t, f.URL(), "c")
	token := c.Subscribe("a", 1, nil)
	if err := done(token); err != nil {
		t.Fatal(err)
	}
	if code := token.(*paho.SubscribeToken).Result()["a"]; code != 0x80 {
		t.Errorf("granted %#x", code)
	}
}

func TestScriptedBrokerCloseEndsScripts(t *testing.T) {
	t.Parallel()
	f := mqtttest.ScriptedBroker(t, func(c net.Conn) { _, _ = mqtttest.ReadPacket(c) })
	c := mqtttest.Raw(t, f.URL())
	f.Close()
	c.ExpectClosed()
}

func TestPacketRoundTrip(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		bytes   []byte
		kind    mqtttest.PacketType
		id      uint16
		topic   string
		payload string
	}{
		{mqtttest.PublishPacket(4, 7, "a/b", 1, "x"), mqtttest.TypePublish, 7, "a/b", "x"},
		{mqtttest.PublishPacket(4, 7, "a/b", 0, "x"), mqtttest.TypePublish, 0, "a/b", "x"},
		{mqtttest.PublishPacket(4, 7, "a", 2, strings.Repeat("x", 300)), mqtttest.TypePublish, 7, "a", strings.Repeat("x", 300)},
		{mqtttest.AckPacket(mqtttest.TypePubrel, 65535), mqtttest.TypePubrel, 65535, "", ""},
		{mqtttest.SubscribePacket(5, 2, "a", 1), mqtttest.TypeSubscribe, 2, "", ""},
		{mqtttest.SubackPacket(4, 3, 1), mqtttest.TypeSuback, 3, "", ""},
		{mqtttest.ConnectPacket(5, "c", false), mqtttest.TypeConnect, 0, "", ""},
		{mqtttest.PacketOf(0xC0), mqtttest.TypePingreq, 0, "", ""},
		{mqtttest.PacketOf(0x32, []byte{0, 9, 'a'}), mqtttest.TypePublish, 0, "", ""},
		{mqtttest.PacketOf(0x40, []byte{1}), mqtttest.TypePuback, 0, "", ""},
	} {
		p, err := mqtttest.ReadPacket(bytes.NewReader(test.bytes))
		if err != nil {
			t.Fatalf("% x: %v", test.bytes, err)
		}
		if p.Type() != test.kind || p.ID() != test.id || p.Topic() != test.topic || string(p.Payload()) != test.payload {
			t.Errorf("%v: payload %q", p, p.Payload())
		}
		if !bytes.Equal(p.Encode(), test.bytes) {
			t.Errorf("encoded % x, want % x", p.Encode(), test.bytes)
		}
	}
}

func FuzzReadPacket(f *testing.F) {
	f.Add(mqtttest.PublishPacket(4, 7, "a/b", 1, "x"))
	f.Add([]byte{0x30, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := mqtttest.ReadPacket(bytes.NewReader(b))
		if err != nil {
			return
		}
		_, _, _ = p.String(), p.Payload(), p.ID()
		again, err := mqtttest.ReadPacket(bytes.NewReader(p.Encode()))
		if err != nil || again.First != p.First || !bytes.Equal(again.Body, p.Body) {
			t.Errorf("%v read again as %v, %v", p, again, err)
		}
	})
}

func TestRawSpeaksMQTT5(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b mqtttest.Broker) {
		if !b.Features().MQTT5 {
			return
		}
		c := mqtttest.Raw(t, b.URL())
		if c.Connect(5, "five", false) {
			t.Error("session present on the first connection")
		}
		c.Send(mqtttest.SubscribePacket(5, 1, "a", 1))
		c.Expect(mqtttest.TypeSuback)
		c.Close()
		c = mqtttest.Raw(t, b.URL())
		if !c.Connect(5, "five", false) {
			t.Error("session not present on the second connection")
		}
	})
}
