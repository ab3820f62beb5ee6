package mqtttest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

const (
	toBroker = mqtttest.ToBroker
	toClient = mqtttest.ToClient
	quiet    = 100 * time.Millisecond
)

// throughProxy connects a raw client to an in-process broker through a proxy.
func throughProxy(t *testing.T) (*mqtttest.Proxy, *mqtttest.RawClient) {
	t.Helper()
	p := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	c := mqtttest.Raw(t, p.URL())
	c.Connect(4, "c", true)
	return p, c
}

func publish(id uint16) []byte { return mqtttest.PublishPacket(4, id, "a/b", 1, fmt.Sprint("m", id)) }

func TestProxyForwardsAndCounts(t *testing.T) {
	t.Parallel()
	p, c := throughProxy(t)
	c.Send(mqtttest.SubscribePacket(4, 1, "a/+", 1))
	c.Expect(mqtttest.TypeSuback)
	for id := uint16(2); id < 5; id++ {
		c.Send(publish(id))
	}
	for range 6 { // three acknowledgements and three deliveries
		if _, err := mqtttest.ReadPacket(c); err != nil {
			t.Fatal(err)
		}
	}
	n := p.Counts()
	if n.Connections != 1 || p.Open() != 1 {
		t.Errorf("connections %d, open %d", n.Connections, p.Open())
	}
	for _, want := range []struct {
		d mqtttest.Direction
		t mqtttest.PacketType
		n int
	}{
		{toBroker, mqtttest.TypeConnect, 1},
		{toClient, mqtttest.TypeConnack, 1},
		{toBroker, mqtttest.TypePublish, 3},
		{toClient, mqtttest.TypePublish, 3},
		{toClient, mqtttest.TypePuback, 3},
		{toBroker, mqtttest.TypePuback, 0},
	} {
		if got := n.Passed(want.d, want.t); got != want.n {
			t.Errorf("%v %v: %d, want %d", want.t, want.d, got, want.n)
		}
	}
}

func TestProxyCutResets(t *testing.T) {
	t.Parallel()
	p, c := throughProxy(t)
	if n := p.Cut(); n != 1 {
		t.Errorf("cut %d connections", n)
	}
	if _, err := mqtttest.ReadPacket(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("client saw %v, want a reset", err)
	}
	mqtttest.Eventually(t, patience, func() bool { return p.Open() == 0 })
	mqtttest.Raw(t, p.URL()).Connect(4, "c", true)
}

func TestProxyRefuse(t *testing.T) {
	t.Parallel()
	p, c := throughProxy(t)
	p.Refuse(true)
	p.Refuse(true)
	address := p.URL()[len("mqtt://"):]
	if _, err := net.Dial("tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("dial: %v, want refused", err)
	}
	c.Send(publish(1))
	c.Expect(mqtttest.TypePuback) // what is open stays
	p.Refuse(false)
	p.Refuse(false)
	mqtttest.Raw(t, address).Connect(4, "d", true)
}

func TestProxyStall(t *testing.T) {
	t.Parallel()
	p, c := throughProxy(t)
	p.Stall(true)
	c.Send(publish(1))
	c.ExpectSilence(quiet)
	big := make([]byte, 1<<20)
	_ = c.SetWriteDeadline(time.Now().Add(2 * quiet))
	var err error
	for written := 0; written < 64<<20 && err == nil; written += len(big) {
		_, err = c.Write(mqtttest.PublishPacket(4, 9, "big", 0, string(big[:len(big)-64])))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing into a stalled connection: %v, want a full buffer", err)
	}
	p.Stall(false)
	c.Expect(mqtttest.TypePuback)
}

func TestProxyBlackHole(t *testing.T) {
	t.Parallel()
	p, c := throughProxy(t)
	p.BlackHole(toClient, true)
	c.Send(publish(1))
	mqtttest.Eventually(t, patience, func() bool { return p.Counts().Dropped(toClient, mqtttest.TypePuback) == 1 })
	p.BlackHole(toClient, false)
	c.Send(publish(2))
	if id := c.Expect(mqtttest.TypePuback).ID(); id != 2 {
		t.Errorf("acknowledgement of %d", id)
	}
	p.BlackHole(toBroker, true)
	c.Send(publish(3))
	c.ExpectSilence(quiet)
	if got := p.Counts().Passed(toBroker, mqtttest.TypePublish); got != 2 {
		t.Errorf("%d publishes reached the broker", got)
	}
}

func TestProxyBlackHoleSwallowsTheEnd(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	c := mqtttest.Raw(t, p.URL())
	c.Connect(4, "gone", true)
	p.BlackHole(toBroker, true)
	c.Close()
	for over := time.After(quiet); over != nil; {
		if p.Open() != 1 || !b.Sessions()[0].Connected {
			t.Fatal("the broker noticed that the client is gone")
		}
		select {
		case <-over:
			over = nil
		default:
			runtime.Gosched()
		}
	}
	p.Cut()
	mqtttest.Eventually(t, patience, func() bool { return len(b.Sessions()) == 0 })
}

func TestProxyDelay(t *testing.T) {
	t.Parallel()
	const by = 150 * time.Millisecond
	p, c := throughProxy(t)
	p.Delay(toBroker, by)
	start := time.Now()
	for id := uint16(1); id <= 50; id++ {
		c.Send(publish(id))
	}
	for range 50 {
		c.Expect(mqtttest.TypePuback)
	}
	if took := time.Since(start); took < by {
		t.Errorf("fifty round trips took %v, less than the delay", took)
	} else if took > 20*by {
		t.Errorf("fifty round trips took %v: the delay serialises", took)
	}
}

func TestProxyDropByType(t *testing.T) {
	t.Parallel()
	p, c := throughProxy(t)
	p.Drop(toClient, mqtttest.TypePuback, 2)
	for id := uint16(1); id <= 3; id++ {
		c.Send(publish(id))
	}
	if id := c.Expect(mqtttest.TypePuback).ID(); id != 3 {
		t.Errorf("acknowledgement of %d, want 3", id)
	}
}

func TestProxyCutsAtAPacket(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		fault   func(*mqtttest.Proxy, mqtttest.Direction, mqtttest.PacketType, int)
		reaches int // whole PUBLISH packets at the broker
	}{
		{"after", (*mqtttest.Proxy).CutAfter, 2},
		{"before", (*mqtttest.Proxy).CutBefore, 1},
		{"within", (*mqtttest.Proxy).CutWithin, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got received
			f := mqtttest.ScriptedBroker(t, got.answer)
			p := mqtttest.NewProxy(t, f.URL())
			test.fault(p, toBroker, mqtttest.TypePublish, 2)
			c := mqtttest.Raw(t, p.URL())
			c.Connect(4, "c", true)
			for id := uint16(1); id <= 2; id++ {
				c.Send(publish(id))
			}
			c.ExpectClosed()
			mqtttest.Eventually(t, patience, got.over)
			if n := got.publishes(); n != test.reaches {
				t.Errorf("%d whole publishes reached the broker, want %d", n, test.reaches)
			}
			mqtttest.Raw(t, p.URL()).Connect(4, "again", true) // the fault is used up
		})
	}
}

func TestProxyCutAfterDeliversThePacketToTheClient(t *testing.T) {
	t.Parallel()
	for range 20 {
		p, c := throughProxy(t)
		p.CutAfter(toClient, mqtttest.TypePuback, 1)
		c.Send(publish(7))
		if id := c.Expect(mqtttest.TypePuback).ID(); id != 7 {
			t.Fatalf("acknowledgement of %d", id)
		}
		c.ExpectClosed()
	}
}

// received is a fake broker that accepts a connection and reads to its end.
type received struct {
	mu    sync.Mutex
	count int
	ended bool
}

func (r *received) answer(c net.Conn) {
	for {
		p, err := mqtttest.ReadPacket(c)
		r.mu.Lock()
		if err != nil {
			r.ended = true
		} else if p.Type() == mqtttest.TypePublish {
			r.count++
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
		if p.Type() == mqtttest.TypeConnect {
			_, _ = c.Write(mqtttest.ConnackPacket(4, false, 0))
		}
	}
}

func (r *received) over() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ended
}

func (r *received) publishes() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count
}

func TestProxyObserverSeesBeforeTheClientDoes(t *testing.T) {
	t.Parallel()
	p, c := throughProxy(t)
	var mu sync.Mutex
	acked := make(map[uint16]bool)
	p.Observe(func(o mqtttest.Observed) {
		mu.Lock()
		defer mu.Unlock()
		if o.Direction == toClient && o.Type() == mqtttest.TypePuback && !o.Dropped {
			acked[o.ID()] = true
		}
		if o.Direction == toBroker && o.Type() == mqtttest.TypePublish {
			if o.Topic() != "a/b" || o.QoS() != 1 || o.Connection != 1 || string(o.Payload()) != fmt.Sprint("m", o.ID()) {
				t.Errorf("observed %v on connection %d", o, o.Connection)
			}
		}
	})
	for id := uint16(1); id <= 200; id++ {
		c.Send(publish(id))
		got := c.Expect(mqtttest.TypePuback).ID()
		mu.Lock()
		if !acked[got] {
			t.Errorf("acknowledgement of %d was not observed", got)
		}
		mu.Unlock()
	}
}

func TestProxyPassesWhatIsNotMQTT(t *testing.T) {
	t.Parallel()
	f := mqtttest.ScriptedBroker(t, func(c net.Conn) { _, _ = io.Copy(c, c) })
	for name, data := range map[string][]byte{
		"bad header":   {0x30, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3},
		"huge packet":  {0x30, 0xff, 0xff, 0xff, 0x7f, 1, 2, 3},
		"half a frame": {0x30, 10, 1, 2, 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := mqtttest.NewProxy(t, f.URL())
			c := mqtttest.Raw(t, p.URL())
			c.Send(data)
			if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(c)
			if err != nil || string(got) != string(data) {
				t.Errorf("echo % x, %v", got, err)
			}
		})
	}
}

func TestProxyInFrontOfTLSAndWebSocket(t *testing.T) {
	t.Parallel()
	ca := mqtttest.NewCA(t)
	b := mqtttest.InProcess(t, testbroker.WithTLS("127.0.0.1:0", ca.ServerConfig(false)), testbroker.WithWebSocket("127.0.0.1:0", nil))
	for _, url := range []string{b.TLSURL(), b.WebSocketURL()} {
		p := mqtttest.NewProxy(t, url)
		lost := make(chan struct{})
		c := dial(t, p.URL(), "c", withTLS(ca.ClientConfig()), func(o *paho.ClientOptions) {
			o.SetConnectionLostHandler(func(paho.Client, error) { close(lost) })
		})
		c.publish(t, "a", 1, "x")
		p.Cut()
		<-lost
	}
}

func TestProxyCloseLeavesNothing(t *testing.T) {
	t.Parallel()
	p, _ := throughProxy(t)
	for range 5 {
		mqtttest.Raw(t, p.URL()).Connect(4, "c", true)
	}
	p.Stall(true)
	p.Delay(toClient, time.Hour)
	p.Close()
	p.Close()
	if p.Open() != 0 {
		t.Errorf("%d connections left", p.Open())
	}
	if _, err := net.Dial("tcp", p.URL()[len("mqtt://"):]); err == nil {
		t.Error("a closed proxy accepts")
	}
}
