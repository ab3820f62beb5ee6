package broker_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// BenchmarkThrough sends messages from one plain client through the broker to
// another, 1,000 in flight. Both clients run in the same process.
func BenchmarkThrough(b *testing.B) {
	for _, version := range []byte{4, 5} {
		for qos := range byte(3) {
			b.Run(fmt.Sprintf("MQTT%d/QoS%d", version, qos), func(b *testing.B) { through(b, version, qos) })
		}
	}
}

func through(b *testing.B, version, qos byte) {
	broker := mqtttest.InProcess(b, testbroker.MaxInflight(1000), testbroker.ReceiveMaximum(0))
	sub := mqtttest.Raw(b, broker.URL())
	sub.Connect(version, "sub", true)
	sub.Send(mqtttest.SubscribePacket(version, 1, "bench", qos))
	sub.Expect(mqtttest.TypeSuback)
	pub := mqtttest.Raw(b, broker.URL())
	pub.Connect(version, "pub", true)
	_, _ = sub.SetDeadline(time.Time{}), pub.SetDeadline(time.Time{})
	payload := string(make([]byte, 256))

	received := make(chan struct{}, 1<<20)
	go pump(sub, true, func() { received <- struct{}{} })
	window := make(chan struct{}, 1000)
	go pump(pub, false, func() { <-window })
	b.SetBytes(256)
	b.ResetTimer()
	out := bufio.NewWriterSize(pub, 32<<10)
	for i := range b.N {
		if qos > 0 {
			select {
			case window <- struct{}{}:
			default:
				_ = out.Flush()
				window <- struct{}{}
			}
		}
		packet := mqtttest.PublishPacket(version, uint16(i%60_000+1), "bench", qos, payload)
		if out.Available() < len(packet) {
			_ = out.Flush() // whole packets only: the other goroutine writes PUBREL
		}
		_, _ = out.Write(packet)
	}
	_ = out.Flush()
	for range b.N {
		<-received
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
	if n := broker.Dropped(); n != 0 {
		b.Errorf("%d dropped", n)
	}
}

// pump answers what a client receives and calls done for every message that is
// finished.
func pump(c net.Conn, subscriber bool, done func()) {
	in, out := bufio.NewReaderSize(c, 32<<10), bufio.NewWriterSize(c, 32<<10)
	buf := make([]byte, 1024)
	for {
		if in.Buffered() == 0 {
			_ = out.Flush()
		}
		first, err := in.ReadByte()
		if err != nil {
			return
		}
		size, _ := in.ReadByte()
		n := int(size & 0x7F)
		if size&0x80 != 0 {
			more, _ := in.ReadByte()
			n |= int(more) << 7
		}
		if _, err := io.ReadFull(in, buf[:n]); err != nil {
			return
		}
		p := testbroker.Packet{First: first, Body: buf[:n]}
		switch p.Type() {
		case testbroker.Publish:
			switch p.QoS() {
			case 1:
				_, _ = out.Write(mqtttest.AckPacket(mqtttest.TypePuback, p.ID()))
			case 2:
				_, _ = out.Write(mqtttest.AckPacket(mqtttest.TypePubrec, p.ID()))
			}
			if subscriber {
				done()
			}
		case testbroker.Pubrec:
			_, _ = out.Write(mqtttest.AckPacket(mqtttest.TypePubrel, p.ID()))
		case testbroker.Pubrel:
			_, _ = out.Write(mqtttest.AckPacket(mqtttest.TypePubcomp, p.ID()))
		case testbroker.Puback, testbroker.Pubcomp:
			if !subscriber {
				done()
			}
		}
	}
}
