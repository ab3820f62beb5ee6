package badinput_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

const (
	floodBound = 8 << 20  // queue_bytes
	floodMost  = 64 << 20 // bytes that a broker sends at most
	floodSlack = 3 << 20  // what a server and its connections take anyway
)

// flood is what a broker sends as fast as it can, regardless of what the client announced.
type flood struct {
	packet []byte // a PUBLISH on "in/0"
	id     int    // offset of its id; 0 means that it has no id
	only   byte
	most   int64 // bytes to send
}

func floods() map[string]flood {
	payload := make([]byte, 100_000)
	publish := func(version, qos byte, properties, payload []byte) flood {
		f := flood{only: version, most: floodMost}
		body := mqtttest.StringField("in/0")
		if qos > 0 {
			body = append(body, 0, 0)
		}
		if version == 5 {
			body = append(body, varint(len(properties))...)
			body = append(body, properties...)
		}
		f.packet = mqtttest.PacketOf(0x30|qos<<1, body, payload)
		if len(f.packet) < 100 {
			f.most = 3 << 19 // every id, and more
		}
		if qos > 0 {
			f.id = strings.Index(string(f.packet), "in/0") + 4
		}
		return f
	}
	var many []byte
	for range 10_000 {
		many = append(many, 0x26, 0, 1, 'k', 0, 1, 'v')
	}
	return map[string]flood{
		"QoS 1 with 10,000 properties":     publish(5, 1, many, []byte(`{}`)),
		"QoS 0 with 10,000 properties":     publish(5, 0, many, []byte(`{}`)),
		"QoS 0":                            publish(4, 0, nil, payload),
		"QoS 1":                            publish(4, 1, nil, payload),
		"QoS 2, never released":            publish(4, 2, nil, payload),
		"QoS 1 beyond Receive Maximum":     publish(5, 1, nil, payload),
		"QoS 2 beyond Receive Maximum":     publish(5, 2, nil, payload),
		"QoS 0 of version 5":               publish(5, 0, nil, payload),
		"QoS 1, small, of all ids":         publish(4, 1, nil, []byte(`{}`)),
		"QoS 1, small, of all ids, with 5": publish(5, 1, nil, []byte(`{}`)),
	}
}

func varint(n int) (b []byte) {
	for {
		digit := byte(n & 0x7f)
		if n >>= 7; n == 0 {
			return append(b, digit)
		}
		b = append(b, digit|0x80)
	}
}

// TestFloodTakesNoMoreThanTheBound: a broker sends far beyond the Receive Maximum without waiting
// for acknowledgements, while the handler never finishes one message. The memory for messages,
// including their properties, is bounded in bytes at each QoS on both versions, and the other
// address serves once the flood is over.
//
// It measures the process and must run alone.
func TestFloodTakesNoMoreThanTheBound(t *testing.T) {
	for name, f := range floods() {
		t.Run(fmt.Sprintf("%s, %d", name, f.only), func(t *testing.T) { f.meet(t) })
	}
}

func (f flood) meet(t *testing.T) {
	p := pump{pause: make(chan chan struct{})}
	bad := mqtttest.ScriptedBroker(t, func(c net.Conn) { p.serve(c, f) })
	good := mqtttest.InProcess(t)
	release := make(chan struct{})
	free := sync.OnceFunc(func() { close(release) })
	defer free()
	got := make(chan string, 10)
	srv, out := client(t, bad.URL(), f.only, mqttserver.WithAddress([]string{bad.URL(), good.URL()}),
		mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Concurrency: 1, QueueBytes: floodBound})))
	err := srv.RegisterSubscriber(t.Context(), "in/+", func(ctx context.Context, e broker.Event) error {
		select {
		case <-release:
		case <-ctx.Done():
		}
		select {
		case got <- e.Topic():
		default:
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	debug.FreeOSMemory()
	before := heap()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var most int64
	mqtttest.Eventually(t, patience, func() bool {
		most = max(most, p.measure()-before)
		idle := time.Since(time.Unix(0, p.last.Load())) > 500*time.Millisecond
		return p.sent.Load() > f.most || p.sent.Load() > 0 && idle
	})
	most = max(most, p.measure()-before)
	t.Logf("%d MB sent, heap %.1f MiB above what it was", p.sent.Load()/1e6, float64(most)/(1<<20))
	if bound := int64(floodBound)*5/4 + floodSlack; most > bound {
		t.Errorf("%d bytes in memory, want at most %d", most, bound)
	}
	bad.Close()
	free()
	handled(t, good, got)
	if text := out.String(); strings.Contains(text, "panic") {
		t.Error("something panicked")
	}
}

// heap returns the heap in use after a collection.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// pump is the broker's side of a flood.
type pump struct {
	sent  atomic.Int64       // bytes
	last  atomic.Int64       // when something was sent, as nanoseconds
	pause chan chan struct{} // asks for a pause between two packets
}

// measure returns the heap between two packets, because allocations during a collection count as
// in use. It returns 0 if it cannot measure.
func (p *pump) measure() int64 {
	back, sent := make(chan struct{}), p.sent.Load()
	defer close(back)
	paused := true
	select {
	case p.pause <- back:
	case <-time.After(50 * time.Millisecond):
		paused = false // the client does not read, or the machine is busy
	}
	least := heap()
	for range 3 { // the data in the socket arrives meanwhile
		least = min(least, heap())
	}
	switch {
	case paused:
		p.last.Store(time.Now().UnixNano()) // the pump was not idle
	case p.sent.Load() != sent:
		return 0
	}
	return least
}

// serve answers packets until the subscription, and then sends without a pause.
func (p *pump) serve(c net.Conn, f flood) {
	var flooding sync.WaitGroup
	defer flooding.Wait()
	defer func() { _ = c.Close() }()
	for {
		packet, err := mqtttest.ReadPacket(c)
		if err != nil {
			return
		}
		switch packet.Type() {
		case mqtttest.TypeConnect:
			_, _ = c.Write(mqtttest.ConnackPacket(f.only, false, 0))
		case mqtttest.TypePingreq:
			_, _ = c.Write([]byte{0xD0, 0}) // between two packets, because a Write is never split
		case mqtttest.TypeSubscribe:
			_, _ = c.Write(mqtttest.SubackPacket(f.only, packet.ID(), 1))
			flooding.Go(func() { p.flood(c, f) })
		}
	}
}

func (p *pump) flood(c net.Conn, f flood) {
	packets := slices.Repeat(f.packet, 1+16_000/len(f.packet)) // small ones go many at a time
	for id := uint16(1); p.sent.Load() <= f.most; {
		for at := 0; f.id > 0 && at < len(packets); at += len(f.packet) {
			binary.BigEndian.PutUint16(packets[at+f.id:], id)
			if id++; id == 0 {
				id = 1
			}
		}
		if _, err := c.Write(packets); err != nil {
			return
		}
		p.sent.Add(int64(len(packets)))
		p.last.Store(time.Now().UnixNano())
		select {
		case back := <-p.pause:
			<-back
		default:
		}
	}
}
