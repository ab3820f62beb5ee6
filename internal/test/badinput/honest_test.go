package badinput_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// Input that is just within the limits is handled.
func TestAtTheLimits(t *testing.T) {
	t.Parallel()
	user := func(count, total int) []byte {
		var out []byte
		for i := range count {
			n := total / count
			if i == 0 {
				n += total % count
			}
			key := fmt.Sprintf("k%02d", i)
			out = append(out, 0x26)
			out = binary.BigEndian.AppendUint16(out, uint16(len(key)))
			out = append(out, key...)
			out = binary.BigEndian.AppendUint16(out, uint16(n-len(key)))
			out = append(out, bytesOf(n-len(key), 'v')...)
		}
		return out
	}
	rows := map[string]struct{ properties, payload []byte }{
		"64 headers":              {user(64, 64*6), []byte("x")},
		"8 KiB of headers":        {user(64, 8<<10), []byte("x")},
		"8 KiB in one header":     {user(1, 8<<10), []byte("x")},
		"largest payload":         {nil, make([]byte, 256<<10)},
		"all of it":               {user(64, 8<<10), make([]byte, 256<<10)},
		"all, and 30 kB to reply": {append(append(user(64, 8<<10), 0x09, 0x75, 0x30), make([]byte, 30_000)...), make([]byte, 256<<10)},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.Mosquitto(t)
			store := deadletter.NewMemory(0)
			srv, _ := client(t, b.URL(), 5, mqttserver.WithCodec(""), mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(store)))
			got := make(chan int, 8)
			err := srv.RegisterSubscriber(t.Context(), "in/#", func(_ context.Context, e broker.Event) error {
				got <- len(e.Message().Headers)
				return nil
			}, nil)
			if err != nil {
				t.Fatal(err)
			}
			start(t, srv)
			raw := mqtttest.Raw(t, b.URL())
			raw.Connect(5, "device", true)
			body := append([]byte{0, 4, 'i', 'n', '/', 'a', 0, 1}, binary.AppendUvarint(nil, uint64(len(row.properties)))...)
			raw.Send(mqtttest.PacketOf(0x32, body, row.properties, row.payload))
			select {
			case n := <-got:
				t.Logf("%d headers", n)
			case <-time.After(5 * time.Second):
				l, _ := store.List(t.Context(), deadletter.Query{})
				t.Fatalf("not handled; %d letters %+v", len(l), l)
			}
		})
	}
}
