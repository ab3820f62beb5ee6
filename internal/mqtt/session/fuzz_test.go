package session

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// FuzzInbound passes frames that a broker could send, with a new connection
// where the input asks for it: nothing may panic, nothing that was not in
// flight may complete, and the window must stay consistent.
func FuzzInbound(f *testing.F) {
	for _, version := range []byte{4, 5} {
		f.Add(version, mqtttest.PublishPacket(version, 7, "a/b", 1, "x"))
		f.Add(version, append(mqtttest.PublishPacket(version, 7, "a/b", 2, "x"), ack(mqtttest.TypePubrel, 7)...))
		f.Add(version, append(mqtttest.PublishPacket(version, 7, "a", 1, ""), publication(7, 1, true, "a", "")...))
		for _, t := range []mqtttest.PacketType{mqtttest.TypePuback, mqtttest.TypePubrec, mqtttest.TypePubcomp} {
			f.Add(version, ack(t, idBase))
			f.Add(version, append(ack(t, idBase+1), ack(t, 1)...))
		}
		f.Add(version, []byte{0xF0, 0, 0x40, 2, 0x80, 0})
		f.Add(version, []byte{0x40, 4, 0x80, 0, 0x80, 0, 0x50, 3, 0x80, 1, 0x91})
	}
	f.Fuzz(func(t *testing.T, version byte, stream []byte) {
		v := wire.V311
		if version == 5 {
			v = wire.V5
		}
		s, err := New(config(t, "mqtt://127.0.0.1:1", windowOf(4), into(&box{done: true}), speaking(Protocol(v))))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close(t.Context())
		connect := func(present byte) *conn {
			c := newConn(s, v, 0)
			c.link = link.New(newTape(), c, link.Options{Version: v})
			body := []byte{present, 0}
			if v == wire.V5 {
				body = append(body, 0)
			}
			if err := c.Connack(0x20, body); err != nil {
				t.Fatal(err)
			}
			return c
		}
		c := connect(1)
		defer func() { cut(c); _ = c.link.Close(); <-c.link.Done() }()
		var o outcomes
		for qos := byte(1); qos <= 2; qos++ {
			if err := publishAsync(t.Context(), s, &Message{Topic: "t", QoS: qos}, o.add); err != nil {
				t.Fatal(err)
			}
		}
		for len(stream) > 0 {
			h, ok, err := wire.ParseHeader(stream)
			if err != nil || !ok || h.Total() > len(stream) {
				return
			}
			if h.Type().Data() && h.Validate() == nil { // frames that the link lets pass
				err = c.Frame(h.First, stream[h.Size:h.Total()])
				c.Batch()
			}
			if err != nil || h.Type() == 0xF {
				cut(c)
				_ = c.link.Close()
				<-c.link.Done()
				c = connect(h.First & 1)
			}
			stream = stream[h.Total():]
			if n := len(ids(s)); n > 2 {
				t.Fatalf("%d in flight", n)
			}
		}
	})
}
