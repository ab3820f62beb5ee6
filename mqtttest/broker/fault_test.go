package broker_test

import (
	"errors"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

func TestRefuseConnect(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		b.Inject(broker.Fault{Type: broker.Connect, Client: broker.ClientID("bad"), Times: 2, Do: broker.Refuse(0x87)})
		want := map[byte]byte{4: 5, 5: 0x87}[version]
		for range 2 {
			p := dial(t, b, version)
			p.Send(mqtttest.ConnectPacket(version, "bad", true))
			if c := p.Expect(mqtttest.TypeConnack); c.Body[1] != want {
				t.Errorf("code %#x, want %#x", c.Body[1], want)
			}
			p.ExpectClosed()
			connect(t, b, version, "good", true)
		}
		connect(t, b, version, "bad", true)
		wantFaults(t, b, "refuse connect", 2)
	})
}

func TestRefuseConnectForAWhile(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	b.Inject(broker.Fault{Type: broker.Connect, Lasting: 100 * time.Millisecond, Do: broker.Refuse(0x88)})
	began := time.Now()
	mqtttest.Eventually(t, patience, func() bool {
		p := dial(t, b, 5)
		p.Send(mqtttest.ConnectPacket(5, "c", true))
		return p.Expect(mqtttest.TypeConnack).Body[1] == 0
	})
	if took := time.Since(began); took < 100*time.Millisecond {
		t.Errorf("accepted after %v", took)
	}
}

func TestRefuseSubscribe(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		f := b.Inject(broker.Fault{Type: broker.Subscribe, Filter: broker.Topic("no"), Do: broker.Refuse(0x87)})
		p := connect(t, b, version, "c", true)
		var properties []byte
		if version == 5 {
			properties = []byte{0}
		}
		p.Send(mqtttest.PacketOf(0x82, []byte{0, 1}, properties, mqtttest.StringField("yes"), []byte{1}, mqtttest.StringField("no"), []byte{2}))
		a := p.expectAck(mqtttest.TypeSuback, 1)
		want := map[byte]byte{4: 0x80, 5: 0x87}[version]
		if codes := a.Body[len(a.Body)-2:]; codes[0] != 1 || codes[1] != want {
			t.Errorf("codes % x", codes)
		}
		p.publish(1, "no", 1, "x") // not subscribed to
		p.sync()
		f.Remove()
		p.subscribe("no", 2)
		if f.Applied() != 1 {
			t.Errorf("applied %d times", f.Applied())
		}
	})
}

func TestRefusePublish(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		sub, p := connect(t, b, version, "sub", true), connect(t, b, version, "c", true)
		sub.subscribe("t", 2)
		for qos, kind := range map[byte]mqtttest.PacketType{1: mqtttest.TypePuback, 2: mqtttest.TypePubrec} {
			b.Inject(broker.Fault{Type: broker.Publish, Times: 1, Do: broker.Refuse(0x97)})
			p.Send(mqtttest.PublishPacket(version, 1, "t", qos, "refused"))
			p.expectCode(kind, 1, map[byte]byte{5: 0x97}[version])
			if version == 4 && qos == 2 { // it cannot know
				p.ack(mqtttest.TypePubrel, 1)
				p.expectAck(mqtttest.TypePubcomp, 1)
			}
		}
		p.publish(1, "t", 2, "taken")
		sub.expectPublish("taken", 2, false)
		if got, want := b.Dropped(), map[byte]int64{4: 2}[version]; got != want {
			t.Errorf("dropped %d, want %d: MQTT 3.1.1 cannot refuse", got, want)
		}
	})
}

func TestDropEachWay(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		var seen atomic.Int64
		b.Observe(func(o broker.Observed) {
			if o.Fault == "drop" {
				seen.Add(1)
			}
		})
		sub, pub := connect(t, b, version, "sub", false), connect(t, b, version, "pub", false)
		sub.subscribe("t", 1)
		b.Inject(broker.Fault{Direction: broker.ToBroker, Type: broker.Publish, After: 1, Times: 1, Do: broker.Drop()})
		b.Inject(broker.Fault{Direction: broker.ToClient, Type: broker.Puback, Client: broker.ClientID("pub"), Times: 1, Do: broker.Drop()})
		b.Inject(broker.Fault{Direction: broker.ToClient, Type: broker.Publish, Times: 1, Do: broker.Drop()})
		pub.Send(mqtttest.PublishPacket(version, 1, "t", 1, "arrives, nobody is told"))
		pub.Send(mqtttest.PublishPacket(version, 2, "t", 1, "never arrives"))
		pub.publish(3, "t", 1, "arrives")
		m := sub.expectPublish("arrives", 1, false)
		sub.ack(mqtttest.TypePuback, m.ID())
		sub.sync()
		sub.Close()
		sub, _ = resume(t, b, version, "sub")
		sub.expectPublish("arrives, nobody is told", 1, true)
		wantFaults(t, b, "drop", 3)
		if seen.Load() != 3 {
			t.Errorf("%d drops were seen", seen.Load())
		}
	})
}

func TestDelayKeepsTheOrder(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	sub, pub := connect(t, b, 5, "sub", true), connect(t, b, 5, "pub", true)
	sub.subscribe("t", 0)
	const by = 50 * time.Millisecond
	for _, d := range []broker.Direction{broker.ToBroker, broker.ToClient} {
		b.Inject(broker.Fault{Direction: d, Type: broker.Publish, Times: 1, Do: broker.Delay(by)})
		began := time.Now()
		pub.Send(mqtttest.PublishPacket(5, 0, "t", 0, "first"), mqtttest.PublishPacket(5, 0, "t", 0, "second"))
		sub.expectPublish("first", 0, false)
		if took := time.Since(began); took < by {
			t.Errorf("%v: held back for %v only", d, took)
		}
		sub.expectPublish("second", 0, false)
	}
	wantFaults(t, b, "delay", 2)
}

func TestCuts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		for name, test := range map[string]struct {
			fault   broker.Fault
			routed  bool // the subscriber gets the message
			told    bool // the publisher gets the PUBACK
			partial bool
		}{
			"before PUBLISH": {broker.Fault{Type: broker.Publish, Do: broker.CutBefore()}, false, false, false},
			"within PUBLISH": {broker.Fault{Type: broker.Publish, Do: broker.CutWithin()}, false, false, false},
			"after PUBLISH":  {broker.Fault{Type: broker.Publish, Do: broker.CutAfter()}, true, false, false},
			"before PUBACK":  {broker.Fault{Direction: broker.ToClient, Type: broker.Puback, Do: broker.CutBefore()}, true, false, false},
			"within PUBACK":  {broker.Fault{Direction: broker.ToClient, Type: broker.Puback, Do: broker.CutWithin()}, true, false, true},
			"after PUBACK":   {broker.Fault{Direction: broker.ToClient, Type: broker.Puback, Do: broker.CutAfter()}, true, true, false},
		} {
			b := mqtttest.InProcess(t)
			sub, pub := connect(t, b, version, "sub", true), connect(t, b, version, "pub", true)
			sub.subscribe("t", 0)
			test.fault.Times = 1
			b.Inject(test.fault)
			pub.Send(mqtttest.PublishPacket(version, 1, "t", 1, "x"))
			if test.told {
				pub.expectAck(mqtttest.TypePuback, 1)
			}
			_ = pub.SetReadDeadline(time.Now().Add(patience))
			rest := make([]byte, 10)
			n, err := pub.Read(rest)
			if (n > 0) != test.partial || (n == 0 && (err == nil || errors.Is(err, os.ErrDeadlineExceeded))) {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
			if test.routed {
				sub.expectPublish("x", 0, false)
			}
			sub.sync()
		}
	})
}

func TestCutIsAReset(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	one, two := connect(t, b, 4, "one", true), connect(t, b, 4, "two", true)
	if n := b.Cut("one", "nobody"); n != 1 {
		t.Errorf("%d connections cut", n)
	}
	_ = one.SetReadDeadline(time.Now().Add(patience))
	_, err := one.Read(make([]byte, 1))
	if op := (*net.OpError)(nil); !errors.As(err, &op) || !strings.Contains(err.Error(), "reset") {
		t.Errorf("got %v", err)
	}
	two.sync()
	// The client hears of it before the broker has ended the session.
	mqtttest.Eventually(t, patience, func() bool { return len(b.Sessions()) == 1 })
	if n := b.Cut(); n != 1 {
		t.Errorf("%d connections cut", n)
	}
	wantFaults(t, b, "cut", 2)
}

// A half-open connection moves no byte in either direction and stays open, until
// it is let go, or its client connects again.
func TestHalfOpen(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		p, pub := connect(t, b, version, "c", false), connect(t, b, version, "pub", true)
		p.subscribe("t", 1)
		p.sync()
		b.HalfOpen(true, "c")
		p.Send(mqtttest.PacketOf(0xC0))
		pub.publish(1, "t", 1, "one")
		p.ExpectSilence(30 * time.Millisecond)
		b.HalfOpen(false, "c")
		m := p.Expect(mqtttest.TypePublish) // PINGREQ was already read or not: either may be first
		if string(p.body(m)) != "one" {
			t.Errorf("%v", m)
		}
		p.Expect(mqtttest.TypePingresp)
		b.HalfOpen(true, "c")
		again, present := resume(t, b, version, "c")
		if !present {
			t.Error("session not present")
		}
		again.expectPublish("one", 1, true)
		p.ExpectClosed()
		wantFaults(t, b, "half-open", 2)
	})
}

// A client that writes to a broker that does not read fills the buffers and blocks.
func TestHalfOpenFromAPacketOn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, version byte) {
		b := mqtttest.InProcess(t)
		p := connect(t, b, version, "c", false)
		b.Inject(broker.Fault{Direction: broker.ToBroker, Type: broker.Publish, Times: 1, Do: broker.HalfOpen()})
		p.Send(mqtttest.PublishPacket(version, 1, "t", 1, "x"))
		p.Send(mqtttest.PacketOf(0xC0))
		p.ExpectSilence(30 * time.Millisecond)
		b.HalfOpen(false, "c")
		p.Expect(mqtttest.TypePingresp)
		wantFaults(t, b, "half-open", 1)
	})
}

// A client that writes to a broker that does not read fills the buffers and blocks.
func TestStopReadingFillsBuffers(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := connect(t, b, 5, "c", true)
	p.sync()
	b.Inject(broker.Fault{Type: broker.Pingreq, Times: 1, Do: broker.StopReading()})
	p.sync() // the answer still comes
	packet := mqtttest.PublishPacket(5, 0, "t", 0, strings.Repeat("x", 1<<20))
	err := error(nil)
	for range 64 {
		_ = p.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err = p.Write(packet); err != nil {
			break
		}
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	wantFaults(t, b, "stop reading", 1)
}

func TestFreeze(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := connect(t, b, 5, "c", true)
	b.Freeze(true)
	p.Send(mqtttest.PacketOf(0xC0))
	fresh := dial(t, b, 5)
	fresh.Send(mqtttest.ConnectPacket(5, "new", true))
	p.ExpectSilence(30 * time.Millisecond)
	fresh.ExpectSilence(30 * time.Millisecond)
	b.Freeze(false)
	p.Expect(mqtttest.TypePingresp)
	fresh.Expect(mqtttest.TypeConnack)
}

func TestBlackHole(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := connect(t, b, 5, "c", true)
	for _, d := range []broker.Direction{broker.ToBroker, broker.ToClient} {
		if n := b.BlackHole(d, true, "c"); n != 1 {
			t.Errorf("%d connections", n)
		}
		p.Send(mqtttest.PacketOf(0xC0))
		p.ExpectSilence(30 * time.Millisecond)
		b.BlackHole(d, false, "c")
		p.sync()
	}
}

func TestRefuseClosesThePort(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := connect(t, b, 5, "c", true)
	b.Refuse(true)
	if c, err := net.Dial("tcp", b.Addr()); err == nil {
		_ = c.Close()
		t.Error("connected")
	}
	p.sync()
	b.Refuse(false)
	connect(t, b, 5, "d", true)
}

func TestWrongBytesAndRepeats(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p, pub := connect(t, b, 5, "c", false), connect(t, b, 5, "pub", true)
	b.Inject(broker.Fault{Direction: broker.ToClient, Type: broker.Suback, Times: 1, Do: broker.Malformed([]byte{0x90, 3, 0, 1, 0})})
	p.Send(mqtttest.SubscribePacket(5, 1, "t", 2))
	if a := p.Expect(mqtttest.TypeSuback); len(a.Body) != 3 {
		t.Errorf("%v", a)
	}
	b.Inject(broker.Fault{Direction: broker.ToClient, Type: broker.Publish, Times: 1, Do: broker.Replay()})
	pub.publish(1, "t", 1, "twice")
	id := p.expectPublish("twice", 1, false).ID()
	if again := p.expectPublish("twice", 1, true); again.ID() != id {
		t.Errorf("%v, want id %d", again, id)
	}
	if n := b.Redeliver("c"); n != 1 {
		t.Errorf("%d redelivered", n)
	}
	p.expectPublish("twice", 1, true)
	// A second acknowledgement after the first: trap of brokers that store them.
	b.Inject(broker.Fault{Direction: broker.ToClient, Type: broker.Puback, Times: 1, Do: broker.Rewrite(
		func(ack broker.Packet) [][]byte { return [][]byte{ack.Encode(), ack.Encode()} })})
	pub.publish(2, "none", 1, "x")
	pub.expectAck(mqtttest.TypePuback, 2)
	b.Inject(broker.Fault{Type: broker.Pingreq, Times: 1, Do: broker.Rewrite(
		func(broker.Packet) [][]byte { return [][]byte{mqtttest.PublishPacket(5, 9, "t", 1, "made up")} })})
	pub.Send(mqtttest.PacketOf(0xC0))
	pub.expectAck(mqtttest.TypePuback, 9)
	p.expectPublish("made up", 1, false)
	b.Send([]byte{0xF0, 0xFF}, "c")
	raw := make([]byte, 2)
	if _, err := p.Read(raw); err != nil || !slices.Equal(raw, []byte{0xF0, 0xFF}) {
		t.Errorf("% x, %v", raw, err)
	}
}

// A script: what one fault sees starts the next.
func TestCallIsAStepOfAScript(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := connect(t, b, 5, "c", false)
	p.subscribe("t", 1)
	b.Inject(broker.Fault{Direction: broker.ToClient, Type: broker.Publish, After: 1, Times: 1, Do: broker.Call(func(b *broker.Broker) {
		b.Kill(true)
		_ = b.Start()
	})})
	pub := connect(t, b, 5, "pub", true)
	pub.Send(mqtttest.PublishPacket(5, 1, "t", 1, "one"), mqtttest.PublishPacket(5, 2, "t", 1, "two"))
	p.ExpectClosed()
	mqtttest.Eventually(t, patience, func() bool {
		c, err := net.Dial("tcp", b.Addr())
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	})
	p, present := resume(t, b, 5, "c")
	if !present {
		t.Error("session not present")
	}
	p.expectPublish("one", 1, true)
	p.expectPublish("two", 1, true)
}

// Chance hits the same packets with the same seed.
func TestChanceIsRepeatable(t *testing.T) {
	t.Parallel()
	run := func(seed uint64) (pattern []bool) {
		b := mqtttest.InProcess(t, broker.WithSeed(seed), broker.WithFaults(
			broker.Fault{Direction: broker.ToClient, Type: broker.Publish, Chance: 0.5, Do: broker.Drop()}))
		b.Observe(func(o broker.Observed) {
			if o.Direction == broker.ToClient && o.Type() == broker.Publish {
				pattern = append(pattern, o.Fault != "")
			}
		})
		p := connect(t, b, 4, "c", true)
		p.subscribe("t", 0)
		for range 40 {
			p.Send(mqtttest.PublishPacket(4, 0, "t", 0, "x"))
		}
		b.Inject(broker.Fault{Type: broker.Disconnect, Do: broker.CutAfter()})
		p.goodbye()
		b.Observe(nil)
		return pattern
	}
	one, again, other := run(1), run(1), run(2)
	if len(one) != 40 || !slices.Equal(one, again) || slices.Equal(one, other) || !slices.Contains(one, true) || !slices.Contains(one, false) {
		t.Errorf("%v\n%v\n%v", one, again, other)
	}
}

func TestFaultsAndOptionsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]broker.Option{
		"no action":            {broker.WithFaults(broker.Fault{})},
		"refuse PINGREQ":       {broker.WithFaults(broker.Fault{Type: broker.Pingreq, Do: broker.Refuse(0x80)})},
		"refuse to client":     {broker.WithFaults(broker.Fault{Direction: broker.ToClient, Type: broker.Publish, Do: broker.Refuse(0x80)})},
		"code of success":      {broker.WithFaults(broker.Fault{Type: broker.Publish, Do: broker.Refuse(0x10)})},
		"rewrite CONNECT":      {broker.WithFaults(broker.Fault{Type: broker.Connect, Do: broker.Malformed(nil)})},
		"direction":            {broker.WithFaults(broker.Fault{Direction: 2, Do: broker.Drop()})},
		"type":                 {broker.WithFaults(broker.Fault{Type: 16, Do: broker.Drop()})},
		"chance":               {broker.WithFaults(broker.Fault{Chance: 1.5, Do: broker.Drop()})},
		"in flight":            {broker.MaxInflight(0)},
		"receive maximum":      {broker.ReceiveMaximum(65536)},
		"queue":                {broker.MaxQueued(-1)},
		"packet":               {broker.MaxPacket(0)},
		"QoS":                  {broker.MaxQoS(3)},
		"alias":                {broker.AliasMaximum(-1)},
		"saving":               {broker.SaveEvery(-1)},
		"address":              {broker.WithAddress("nowhere:99999")},
		"two at once reported": {broker.MaxQoS(3), broker.MaxQueued(-1)},
	} {
		b, err := broker.Listen(opts...)
		if err == nil {
			b.Close()
			t.Errorf("%s: no error", name)
		} else if strings.HasPrefix(name, "two") && strings.Count(err.Error(), "\n") != 1 {
			t.Errorf("%v", err)
		}
	}
}
