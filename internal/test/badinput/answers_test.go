package badinput_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// pour sends a packet repeatedly. It reads only a few bytes of the answers occasionally, which
// show the client that its peer is alive.
func pour(c net.Conn, packet []byte, packets int, written *atomic.Int64) {
	go func() {
		b := make([]byte, 64<<10)
		for {
			if _, err := c.Read(b[:min(len(b), 4096)]); err != nil {
				return
			}
			<-time.After(50 * time.Millisecond)
		}
	}()
	var run []byte
	const each = 10_000
	for range each {
		run = append(run, packet...)
	}
	for n := 0; n < packets; n += each {
		if _, err := c.Write(run); err != nil {
			return
		}
		written.Add(each)
	}
}

// Answers that the broker requests and does not read take bounded memory. Not parallel, because
// it measures the process.
func TestAnswersThatNobodyReadsAreBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be counted")
	}
	for name, packet := range map[string][]byte{
		"PUBREL": ack(mqtttest.TypePubrel, 7),
		"PUBREC": ack(mqtttest.TypePubrec, 7),
	} {
		t.Run(name, func(t *testing.T) {
			var written, connections atomic.Int64
			p := newPeer(t, 5, func(c net.Conn, n int, when string) bool {
				if when != "ready" {
					return false
				}
				connections.Add(1)
				if n > 1 {
					return false
				}
				pour(c, packet, 20_000_000, &written)
				return false
			})
			srv, _ := client(t, p.URL(), 5)
			handle(t, srv, "in/#", func(context.Context, *reading) error { return nil })
			if err := srv.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			last, since := int64(-1), time.Now()
			m := measure(t, func() bool {
				if now := written.Load(); now != last {
					last, since = now, time.Now()
				}
				return written.Load() > 0 && time.Since(since) > time.Second || connections.Load() > 1
			})
			t.Logf("figure: live %.1f MB, in use %.1f MB; %d written, %d connections", float64(m.live)/1e6, float64(m.inUse)/1e6, written.Load(), connections.Load())
			if m.live > 16<<20 {
				t.Errorf("%d bytes", m.live)
			}
		})
	}
}

// A broker that repeats a QoS 2 message, whose PUBREC waits for an unfinished message before it,
// causes no memory for each repetition.
func TestRepetitionsAreBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be counted")
	}
	var written, connections atomic.Int64
	publish := func(first byte, topic string, id uint16) []byte {
		body := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
		body = append(body, topic...)
		body = binary.BigEndian.AppendUint16(body, id)
		return mqtttest.PacketOf(first, body, []byte{0}, []byte("{}"))
	}
	p := newPeer(t, 5, func(c net.Conn, n int, when string) bool {
		if when != "ready" || n > 1 {
			return false
		}
		connections.Add(1)
		_, _ = c.Write(publish(0x34, "in/fast", 2))
		for {
			q, err := mqtttest.ReadPacket(c)
			if err != nil || q.Type() == mqtttest.TypePubrec {
				break
			}
		}
		_, _ = c.Write(publish(0x34, "in/slow", 1))
		pour(c, publish(0x3C, "in/fast", 2), 5_000_000, &written)
		return false
	})
	release := make(chan struct{})
	srv, _ := client(t, p.URL(), 5, mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(deadletter.NewMemory(0))))
	t.Cleanup(func() { close(release) })
	if err := mqttserver.RegisterSubscriber(srv, t.Context(), "in/#", func(_ context.Context, topic string, _ broker.Headers, _ *reading) error {
		if topic == "in/slow" {
			<-release
		}
		return nil
	}, mqttbroker.WithSubscribeQos(2)); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	last, since := int64(-1), time.Now()
	m := measure(t, func() bool {
		if now := written.Load(); now != last {
			last, since = now, time.Now()
		}
		return written.Load() > 0 && time.Since(since) > time.Second
	})
	t.Logf("figure: live %.1f MB, in use %.1f MB; %d written", float64(m.live)/1e6, float64(m.inUse)/1e6, written.Load())
	if m.live > 16<<20 {
		t.Errorf("%d bytes", m.live)
	}
}

// The reason text of a broker that refuses messages of an outbox is not kept for each key.
func TestTextsOfRefusalsAreBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be counted")
	}
	text := strings.Repeat("x", 60_000)
	reason := append([]byte{0x1F, byte(len(text) >> 8), byte(len(text) & 0xff)}, text...)
	p := newPeer(t, 5, func(net.Conn, int, string) bool { return false })
	p.refusal = append([]byte{0xE3, 0xD4, 0x03}, reason...)
	p.forgets = true
	store, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	srv, out := client(t, p.URL(), 5, mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithOutbox(store)))
	const n = 3000
	for i := range n {
		if err := srv.Publish(t.Context(), fmt.Sprintf("out/%d", i), broker.NewMessage(reading{1}), mqttbroker.WithPublishQos(1)); err != nil {
			t.Fatal(err)
		}
	}
	start(t, srv)
	m := measure(t, func() bool { return p.refused.Load() >= n })
	_ = out
	t.Logf("figure: live %.1f MB, in use %.1f MB; %d refused; log %d bytes", float64(m.live)/1e6, float64(m.inUse)/1e6, p.refused.Load(), len(out.String()))
	if m.live > 32<<20 {
		t.Errorf("%d bytes", m.live)
	}
}
