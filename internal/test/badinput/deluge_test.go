package badinput_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// deluge is an MQTT 5 broker with many messages for its subscriber, all equal except for the
// packet identifier.
type deluge struct {
	qos        byte
	withholds  bool // withholds its SUBACK
	n          int
	properties []byte
	payload    int
	honest     bool           // respects the Receive Maximum
	topics     bool           // each message has its own topic, and only the first handler is slow
	subscriber *v1.Subscriber // settings of the client; nil means the defaults

	*mqtttest.Scripted
	receiveMaximum atomic.Int64
	sent, acked    atomic.Int64
	disconnected   atomic.Int64 // the reason code plus 256
	connections    atomic.Int64
}

// connectProperties maps properties of CONNECT to the sizes of their values.
var connectProperties = map[byte]int{0x11: 4, 0x21: 2, 0x27: 4, 0x22: 2, 0x19: 1, 0x17: 1}

// receiveMaximumOf returns the Receive Maximum of a CONNECT.
func receiveMaximumOf(p mqtttest.Packet) int64 {
	b := p.Body[11:] // protocol name, level, flags, keep alive and the length of the properties
	for len(b) > 2 {
		if b[0] == 0x21 {
			return int64(binary.BigEndian.Uint16(b[1:]))
		}
		n, ok := connectProperties[b[0]]
		if !ok {
			break
		}
		b = b[1+n:]
	}
	return 65_535
}

func (f *deluge) start(t testing.TB) string {
	f.Scripted = mqtttest.ScriptedBroker(t, f.serve)
	return f.URL()
}

func (f *deluge) serve(c net.Conn) {
	f.connections.Add(1)
	var begun atomic.Bool
	receiveMaximum := int64(0)
	acked := make(chan struct{}, 65_535)
	var writing sync.WaitGroup
	defer writing.Wait()
	defer close(acked)
	defer func() { _ = c.Close() }()
	for {
		p, err := mqtttest.ReadPacket(c)
		if err != nil {
			return
		}
		switch p.Type() {
		case mqtttest.TypeConnect:
			receiveMaximum = receiveMaximumOf(p)
			_, _ = c.Write(mqtttest.ConnackPacket(5, false, 0))
		case mqtttest.TypeSubscribe:
			if !f.withholds {
				_, _ = c.Write(mqtttest.SubackPacket(5, p.ID(), 1))
			}
			f.receiveMaximum.Store(receiveMaximum)
			if begun.CompareAndSwap(false, true) {
				writing.Go(func() { f.write(c, acked) })
			}
		case mqtttest.TypePublish:
			if p.QoS() > 0 {
				_, _ = c.Write(mqtttest.AckPacket(mqtttest.TypePuback, p.ID()))
			}
		case mqtttest.TypePuback:
			f.acked.Add(1)
			acked <- struct{}{}
		case mqtttest.TypePingreq:
			_, _ = c.Write([]byte{0xD0, 0})
		case mqtttest.TypeDisconnect:
			code := int64(256)
			if len(p.Body) > 0 {
				code += int64(p.Body[0])
			}
			f.disconnected.Store(code)
		}
	}
}

// write sends all messages, with memory that does not grow with their number.
func (f *deluge) write(c net.Conn, acked <-chan struct{}) {
	const topic = "flood/000000"
	head := binary.BigEndian.AppendUint16(nil, uint16(len(topic)))
	head = append(head, topic...)
	at := len(head)
	if f.qos > 0 {
		head = append(head, 0, 0)
	}
	head = binary.AppendUvarint(head, uint64(len(f.properties)))
	fixed := binary.AppendUvarint([]byte{0x30 | f.qos<<1}, uint64(len(head)+len(f.properties)+f.payload))
	payload := make([]byte, f.payload)
	window := f.receiveMaximum.Load()
	for i := range f.n {
		for f.honest && window == 0 {
			if _, ok := <-acked; !ok {
				return
			}
			window++
		}
		window--
		if f.topics {
			copy(head[2:], fmt.Sprintf("flood/%06d", i))
		}
		if f.qos > 0 {
			binary.BigEndian.PutUint16(head[at:], uint16(1+i%65_535))
		}
		for _, b := range [][]byte{fixed, head, f.properties, payload} {
			if _, err := c.Write(b); err != nil {
				return
			}
		}
		f.sent.Add(1)
	}
}

// memory holds maxima of the process, above what it used before: the live heap after a
// collection, and the heap in use at any time.
type memory struct{ live, inUse int64 }

func usage() (live, inUse int64) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	inUse = int64(m.HeapInuse)
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), inUse
}

// measure takes samples until over returns true.
func measure(t testing.TB, over func() bool) (most memory) {
	t.Helper()
	debug.FreeOSMemory()
	before, _ := usage()
	for deadline := time.Now().Add(patience); !over(); {
		if time.Now().After(deadline) {
			t.Fatalf("not over within %v", patience)
		}
		live, inUse := usage()
		most.live, most.inUse = max(most.live, live-before), max(most.inUse, inUse-before)
		<-time.After(20 * time.Millisecond)
	}
	return most
}

// client returns a server whose handlers wait for release, which is closed at the end of the
// test.
func (f *deluge) client(t testing.TB, url string, release chan struct{}, subscriber *v1.Subscriber, opts ...broker.Option) (*mqttserver.Server, *logs) {
	t.Helper()
	srv, out := client(t, url, 5, mqttserver.WithCodec(""), mqttserver.WithBrokerOptions(
		mqttbroker.WithDeadLetters(deadletter.NewMemory(0)), mqttbroker.WithSubscriberConfig(subscriber)), mqttserver.WithBrokerOptions(opts...))
	t.Cleanup(func() { close(release) })
	err := srv.RegisterSubscriber(t.Context(), "flood/#", func(_ context.Context, e broker.Event) error {
		if !f.topics || e.Topic() == "flood/000000" {
			<-release
		}
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return srv, out
}

// still returns a condition: nothing has changed for a second, or a connection has ended.
func (f *deluge) still() func() bool {
	last, since := int64(-1), time.Now()
	return func() bool {
		if now := f.sent.Load() + f.acked.Load(); now != last {
			last, since = now, time.Now()
		}
		return time.Since(since) > time.Second
	}
}

// Default bound of one subscriber. The measurement may exceed it by a quarter.
const (
	bound    = 64 << 20
	onTop    = bound / 4
	kilo     = 1000
	megabyte = 1000 * kilo
	common   = 250 * kilo
)

// The memory for messages stays within the bound, whatever a device or a broker sends. Not
// parallel, because it measures the process.
func TestMemoryIsBounded(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory would be counted")
	}
	for name, f := range map[string]*deluge{
		"a backlog of 700 x 1 MB behind a slow handler":    {qos: 1, n: 700, payload: megabyte, honest: true},
		"the same where they are permitted":                {qos: 1, n: 700, payload: megabyte, honest: true, subscriber: &v1.Subscriber{MaxPayload: 1 << 20}},
		"a backlog of 1,000 x 250 kB":                      {qos: 1, n: 1000, payload: common, honest: true},
		"3,000 x 250 kB beyond the Receive Maximum":        {qos: 1, n: 3000, payload: common},
		"3,000 x 250 kB that are done behind a slow one":   {qos: 1, n: 3000, payload: common, topics: true},
		"QoS 0 with 190,000 user properties":               {n: 648, payload: 2, properties: bytesOf(190_000, 0x26, 0, 0, 0, 0)},
		"QoS 1 with 190,000 user properties":               {qos: 1, n: 648, payload: 2, properties: bytesOf(190_000, 0x26, 0, 0, 0, 0)},
		"QoS 1 with 50 user properties and nothing else":   {qos: 1, n: 60_000, properties: bytesOf(50, 0x26, 0, 0, 0, 0)},
		"QoS 1 with 10,000 user properties below the size": {qos: 1, n: 3000, payload: common / 2, properties: bytesOf(10_000, 0x26, 0, 1, 'k', 0, 0)},
		"QoS 0 of 250 kB":                                  {n: 3000, payload: common},
	} {
		t.Run(name, func(t *testing.T) {
			url := f.start(t)
			release := make(chan struct{})
			srv, _ := f.client(t, url, release, f.subscriber)
			start(t, srv)
			m := measure(t, f.still())
			h := srv.Health()
			t.Logf("figure: live heap %.1f MB, in use %.1f MB; sent %d, acknowledged %d, Receive Maximum %d, queued %d, running %d, dropped %d, connections %d, DISCONNECT %#x",
				float64(m.live)/1e6, float64(m.inUse)/1e6, f.sent.Load(), f.acked.Load(), f.receiveMaximum.Load(), h.Queued, h.Running, h.QueueFull, f.connections.Load(), f.disconnected.Load())
			if m.live > bound+onTop {
				t.Errorf("live heap of %d bytes, want at most %d", m.live, bound+onTop)
			}
		})
	}
}

func bytesOf(n int, b ...byte) []byte {
	out := make([]byte, 0, n*len(b))
	for range n {
		out = append(out, b...)
	}
	return out
}

// A broker that withholds the answer to a SUBSCRIBE and exceeds its window meanwhile is
// disconnected once with a reason code [MQTT-3.3.4-9], when twice our bound stays used up. If
// it continues, its socket is no longer read.
func TestBeyondTwiceTheReceiveMaximum(t *testing.T) {
	t.Parallel()
	const queue = 32
	f := &deluge{qos: 1, n: 60_000, payload: 100, withholds: true}
	url := f.start(t)
	release := make(chan struct{})
	srv, out := f.client(t, url, release, &v1.Subscriber{Queue: queue}, mqttbroker.WithConnectTimeout(time.Second))
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() bool { return f.disconnected.Load() == 256+0x93 })
	mqtttest.Eventually(t, patience, func() bool { return f.connections.Load() == 2 && srv.Health().BackPressure > time.Second })
	h := srv.Health()
	if h.LastLoss == nil || h.LastLoss.Kind != event.LossProtocol || !strings.Contains(h.LastLoss.Error(), "MQTT-3.3.4-9") {
		t.Errorf("%v", h.LastLoss)
	}
	if h.BeyondReceiveMaximum == 0 || h.Queued+h.Running > 2*queue {
		t.Errorf("%d beyond it, %d queued, %d running", h.BeyondReceiveMaximum, h.Queued, h.Running)
	}
	if n := strings.Count(out.String(), "receive maximum exceeded"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
