package session

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/link"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// null starts a broker that acknowledges every QoS 1 message at little cost.
func null(b *testing.B) string {
	return mqtttest.ScriptedBroker(b, func(c net.Conn) {
		if _, err := mqtttest.ReadPacket(c); err != nil {
			return
		}
		_, _ = c.Write(mqtttest.ConnackPacket(4, false, 0))
		buf, used, acks := make([]byte, 256<<10), 0, []byte(nil)
		for {
			n, err := c.Read(buf[used:])
			if err != nil {
				return
			}
			used += n
			at := 0
			acks = acks[:0]
			for {
				h, ok, _ := wire.ParseHeader(buf[at:used])
				if !ok || at+h.Total() > used {
					break
				}
				if frame := buf[at : at+h.Total()]; h.Type() == wire.TypePublish {
					if i := wire.PacketIDOffset(frame); i > 0 {
						acks = wire.AppendAck(acks, wire.V311, wire.TypePuback, wire.PacketID(frame, i), 0)
					}
				}
				at += h.Total()
			}
			used = copy(buf, buf[at:used])
			if _, err := c.Write(acks); err != nil {
				return
			}
		}
	}).URL()
}

func benchSession(b *testing.B) *Session {
	s := open(b, null(b), clean)
	s.Start()
	ready(b, s)
	b.ReportAllocs()
	b.ResetTimer()
	return s
}

var benchMessage = Message{Topic: "bench/topic", QoS: 1, Payload: make([]byte, 256)}

// BenchmarkPublish publishes from one goroutine that waits for each
// acknowledgement.
func BenchmarkPublish(b *testing.B) {
	s := benchSession(b)
	ctx := context.Background()
	for b.Loop() {
		if err := s.Publish(ctx, &benchMessage); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPublish64 does the same from 64 goroutines.
func BenchmarkPublish64(b *testing.B) {
	s := benchSession(b)
	b.SetParallelism(32) // of 2 processors
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := s.Publish(context.Background(), &benchMessage); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkPublishAsync publishes from one goroutine with many messages in
// flight.
func BenchmarkPublishAsync(b *testing.B) {
	s := benchSession(b)
	ctx := context.Background()
	for b.Loop() {
		if err := publishAsync(ctx, s, &benchMessage, func(error) {}); err != nil {
			b.Fatal(err)
		}
	}
}

// discard is a socket that discards all writes.
type discard struct{ net.Conn }

func (discard) Write(p []byte) (int, error)      { return len(p), nil }
func (discard) Close() error                     { return nil }
func (discard) SetWriteDeadline(time.Time) error { return nil }

// doneSink acknowledges on the read loop, which measures the cost without
// workers.
type doneSink struct{}

func (doneSink) New(topic []byte, _ byte, _ int) *Inbound { return &Inbound{Topic: string(topic)} }

func (doneSink) Deliver(m *Inbound) { m.Done() }
func (doneSink) Batch()             {}

// BenchmarkReceive passes frames directly to the connection.
func BenchmarkReceive(b *testing.B) {
	for qos := range byte(3) {
		b.Run([]string{"QoS0", "QoS1", "QoS2"}[qos], func(b *testing.B) {
			s := direct(b, into(doneSink{}))
			c := newConn(s, wire.V311, 0)
			c.link = link.New(discard{}, c, link.Options{})
			b.Cleanup(func() { _ = c.link.Close() })
			accept(b, c, false)
			frame := mqtttest.PublishPacket(4, 1, "bench/topic", qos, string(make([]byte, 256)))
			h, _, _ := wire.ParseHeader(frame)
			body := frame[h.Size:]
			b.ReportAllocs()
			for n := uint16(1); b.Loop(); n++ {
				if qos > 0 {
					id := n%1000 + 1
					body[13], body[14] = byte(id>>8), byte(id)
				}
				if err := c.Frame(h.First, body); err != nil {
					b.Fatal(err)
				}
				if n%64 == 0 {
					c.Batch()
				}
			}
		})
	}
}
