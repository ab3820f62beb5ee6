package badinput_test

import (
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// A broker that accepts few messages at a time, and slowly, receives everything in the outbox. It
// answers PINGREQs meanwhile.
func TestSlowBrokerOfFewMessages(t *testing.T) {
	t.Parallel()
	for receive, n := range map[byte]int{1: 2, 20: 40} {
		t.Run(fmt.Sprintf("Receive Maximum %d", receive), func(t *testing.T) {
			t.Parallel()
			slowBroker(t, receive, n)
		})
	}
}

func slowBroker(t *testing.T, receive byte, n int) {
	t.Helper()
	const slow = 4 * time.Second
	var published, connections atomic.Int64
	f := mqtttest.ScriptedBroker(t, func(c net.Conn) {
		connections.Add(1)
		var mu sync.Mutex
		write := func(b []byte) { mu.Lock(); defer mu.Unlock(); _, _ = c.Write(b) }
		for {
			p, err := mqtttest.ReadPacket(c)
			if err != nil {
				return
			}
			switch p.Type() {
			case mqtttest.TypeConnect:
				write(mqtttest.PacketOf(0x20, []byte{0, 0, 3, 0x21, 0, receive}))
			case mqtttest.TypePingreq:
				write([]byte{0xD0, 0})
			case mqtttest.TypeSubscribe:
				write(mqtttest.SubackPacket(5, p.ID(), 1))
			case mqtttest.TypePublish:
				published.Add(1)
				id := p.ID()
				time.AfterFunc(slow, func() { write(mqtttest.AckPacket(mqtttest.TypePuback, id)) })
			}
		}
	})
	store, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	srv, _ := client(t, f.URL(), 5, mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithOutbox(store)))
	for i := range n {
		if err := srv.Publish(t.Context(), fmt.Sprintf("out/%d", i), broker.NewMessage(reading{1}), mqttbroker.WithPublishQos(1)); err != nil {
			t.Fatal(err)
		}
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, 60*time.Second, func() error {
		if h := srv.Health().Outbox; h.Depth > 0 {
			return fmt.Errorf("%d left; %d published on %d connections", h.Depth, published.Load(), connections.Load())
		}
		return nil
	})
	if most := int64(4 * n); published.Load() > most {
		t.Errorf("published %d times, want at most %d", published.Load(), most)
	}
	t.Logf("figure: %d published on %d connections", published.Load(), connections.Load())
}
