package session

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// T3: messages that the broker kept are delivered after CONNACK, before any
// SUBSCRIBE of this connection, and none of them is lost.
func TestT03_MessagesBeforeTheFirstSubscribe(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	s := open(t, b.URL())
	want(t, s, "a")
	s.Start()
	ready(t, s)
	s.Close(within(t, patience))
	pub := start(t, b.URL(), clientID("publisher"), clean)
	var o outcomes
	for i := range 100 {
		if err := publishAsync(within(t, patience), pub, &Message{Topic: "a", QoS: 1, Payload: fmt.Append(nil, i)}, o.add); err != nil {
			t.Fatal(err)
		}
	}
	o.wait(t, 100)
	again := start(t, b.URL()) // without a subscription; the messages arrive nevertheless
	got := again.cfg.Sink.(*box).wait(t, 100)
	for i, m := range got {
		if string(m.Payload) != fmt.Sprint(i) {
			t.Fatalf("message %d is %s", i, m.Payload)
		}
	}
}

// T4: a message that is not done is not acknowledged and not delivered again on
// the same connection.
func TestT04_NotDoneIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	p := mqtttest.NewProxy(t, b.URL())
	in := new(box)
	var j journal
	s := open(t, p.URL(), into(in), to(&j))
	want(t, s, "a")
	s.Start()
	ready(t, s)
	pub := start(t, b.URL(), clientID("publisher"))
	for range 30 { // mosquitto's window is 20
		if err := pub.Publish(within(t, patience), &Message{Topic: "a", QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	in.wait(t, 20)
	if n := p.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback); n != 0 {
		t.Fatalf("%d acknowledgements", n)
	}
	p.Cut()
	waitEvent[Connected](t, &j, 2)
	for i := range 30 {
		in.wait(t, i+1)[i].Done()
	}
	mqtttest.Eventually(t, patience, func() bool { return p.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback) == 30 })
	if n := len(in.all()); n != 30 {
		t.Errorf("%d deliveries: a redelivery ran again", n)
	}
}

// T9: a dead link with a full send buffer is detected within the write timeout
// plus a second, and no publisher waits for longer than its context.
func TestT09_HalfOpenWithAFullSendBuffer(t *testing.T) {
	t.Parallel()
	const writeTimeout = 10 * time.Second
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	var (
		j journal
		o outcomes
	)
	s := start(t, p.URL(), to(&j), func(c *Config) { c.WriteTimeout = writeTimeout })
	p.Stall(true)
	payload := bytes.Repeat([]byte("x"), 900_000)
	for range 45 { // 40 MB: more than all buffers on the way hold
		if err := publishAsync(within(t, patience), s, &Message{Topic: "a", QoS: 1, Payload: payload}, o.add); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	err := s.Publish(within(t, 50*time.Millisecond), &Message{Topic: "a", QoS: 1, Payload: payload})
	if took := time.Since(began); event.ReasonOf(err) != event.ReasonTimeout || took >= writeTimeout {
		t.Errorf("publish with 50 ms returned after %v: %v", took, err)
	}
	waitEvent[ConnectionLost](t, &j, 1)
	if took := time.Since(began); took > writeTimeout+slack {
		t.Errorf("detected after %v", took)
	}
	if e := eventsOf[ConnectionLost](&j)[0]; !errors.Is(e.Err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", e.Err)
	}
}

// A dead idle link is detected by keep-alive and ping timeout.
func TestHalfOpenIdle(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	var j journal
	start(t, p.URL(), to(&j), func(c *Config) { c.KeepAlive, c.PingTimeout = time.Second, 500*time.Millisecond })
	p.Stall(true)
	began := time.Now()
	waitEvent[ConnectionLost](t, &j, 1)
	if took := time.Since(began); took > 2*time.Second+slack {
		t.Errorf("detected after %v", took)
	}
}

// D2: messages that are not handled do not stop the read loop: the connection
// lasts for several keep-alive intervals, and publishing on it works.
func TestD02_UnhandledMessagesDoNotStopTheReadLoop(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	in := new(box)
	var j journal
	s := open(t, b.URL(), into(in), to(&j), func(c *Config) { c.KeepAlive, c.PingTimeout = time.Second, time.Second })
	want(t, s, "a")
	s.Start()
	ready(t, s)
	ctx := within(t, patience)
	for range 40 {
		if err := s.Publish(ctx, &Message{Topic: "a", QoS: 1}); err != nil {
			t.Fatal(err)
		}
	}
	in.wait(t, 20)
	alive := time.Now().Add(2500 * time.Millisecond)
	mqtttest.Eventually(t, patience, func() bool {
		if err := s.Publish(ctx, &Message{Topic: "b", QoS: 1}); err != nil {
			t.Fatal(err)
		}
		return time.Now().After(alive)
	})
	if e := eventsOf[ConnectionLost](&j); len(e) != 0 {
		t.Errorf("%+v", e)
	}
}

// hostile sends bytes after CONNACK or in answer to a SUBSCRIBE.
func hostile(t *testing.T, inAnswer bool, data []byte) (*journal, *Session) {
	t.Helper()
	url := scripted(t, true, func(p *peer) {
		if p.n > 1 {
			serveAll(p)
			return
		}
		if inAnswer {
			packet, err := mqtttest.ReadPacket(p)
			if err != nil {
				return
			}
			data = bytes.Replace(data, []byte("ID"), []byte{byte(packet.ID() >> 8), byte(packet.ID())}, 1)
		}
		p.send(data)
		for {
			if _, err := mqtttest.ReadPacket(p); err != nil {
				return
			}
		}
	})
	j := new(journal)
	s := open(t, url, to(j))
	want(t, s, "a")
	s.Start()
	return j, s
}

// T15: a SUBACK with more codes than filters ends the connection, not the
// process.
func TestT15_LongSuback(t *testing.T) {
	t.Parallel()
	j, s := hostile(t, true, []byte("\x90\x05ID\x01\x01\x01"))
	waitEvent[ConnectionLost](t, j, 1)
	ready(t, s)
}

// T16: a large length alone takes no memory.
func TestT16_HugePacket(t *testing.T) {
	t.Parallel()
	for _, first := range []byte{0x30, 0x90, 0xD0, 0x40} {
		j, s := hostile(t, false, []byte{first, 0xFF, 0xFF, 0xFF, 0x7F, 'x', 'x'})
		waitEvent[ConnectionLost](t, j, 1)
		ready(t, s)
	}
}

// A connection that ends when the library is about to subscribe does not delay
// the next one.
func TestConnectionsThatEndAtOnce(t *testing.T) {
	t.Parallel()
	const n = 30
	url := scripted(t, true, func(p *peer) {
		if p.n <= n {
			p.send([]byte{0, 0}) // not a valid packet
			return
		}
		serveAll(p)
	})
	s := open(t, url, func(c *Config) { c.MaxReconnectDelay = time.Millisecond })
	want(t, s, "a")
	s.Start()
	if err := s.WaitReady(within(t, patience)); err != nil { // it once took the timeout of an answer
		t.Error(err)
	}
}

func TestMalformedPacketsEndTheConnection(t *testing.T) {
	t.Parallel()
	for _, data := range []string{
		"\x36\x03\x00\x01a", "\x32\x05\x00\x01a\x00\x00", "\x40\x02\x00\x00", "\x40\x03\x00\x01\x00", "\x30\x03\x00\x01#",
		"\x30\x03\x00\x01\xff", "\x20\x02\x00\x00", "\xff\xff\xff\xff\xff\xff", "\x10\x00", "\x00\x00", "\x60\x02\x80\x00",
	} {
		j, s := hostile(t, false, []byte(data))
		waitEvent[ConnectionLost](t, j, 1)
		ready(t, s)
	}
}

// T24: Close waits for publishes in flight, sends what is queued, and sends
// DISCONNECT last.
func TestT24_CloseDrains(t *testing.T) {
	t.Parallel()
	var (
		d       diary
		slow    = make(chan struct{})
		arrived atomic.Int64
	)
	url := scripted(t, true, func(p *peer) {
		p.send(publication(9, 1, false, "a", "x"))
		var waiting []mqtttest.Packet
		released := false
		for {
			packet, ok := p.next()
			if !ok || packet.Type() == mqtttest.TypeDisconnect {
				d.add("end %t", ok)
				return
			}
			d.add("%v %d %s", packet.Type(), packet.QoS(), packet.Topic())
			if waiting = append(waiting, packet); arrived.Add(1) == 11 {
				go func() {
					<-slow
					for _, w := range waiting {
						p.answer(w)
					}
				}()
				released = true
			} else if released {
				p.answer(packet)
			}
		}
	})
	var (
		o outcomes
		j journal
	)
	s := start(t, url, to(&j))
	s.cfg.Sink.(*box).wait(t, 1)
	for range 5 {
		async(t, s, 1, "", &o)
		async(t, s, 2, "", &o)
	}
	d.wait(t, "PUBLISH 2 t")
	closed := make(chan struct{})
	go func() { s.Close(within(t, patience)); close(closed) }()
	mqtttest.Eventually(t, patience, func() bool { s.out.mu.Lock(); defer s.out.mu.Unlock(); return s.out.closed != nil })
	asError(t, s.Publish(t.Context(), &Message{Topic: "late"}), event.ReasonClosed)
	mqtttest.Eventually(t, patience, func() bool { return arrived.Load() >= 11 })
	select {
	case <-closed:
		t.Fatal("closed with publishes in flight")
	default:
	}
	close(slow)
	<-closed
	for _, err := range o.wait(t, 10) {
		if err != nil {
			t.Error(err)
		}
	}
	d.wait(t, "end true") // an orderly DISCONNECT
	if e := eventsOf[Closed](&j); len(e) != 1 || e[0].Unfinished != 0 || e[0].Unacknowledged != 0 {
		t.Errorf("%+v", e)
	}
	asError(t, s.WaitReady(t.Context()), event.ReasonClosed)
	asError(t, s.Subscribe(t.Context(), Filter{Filter: "a"}), event.ReasonClosed)
}

// T24 for QoS 0 and acknowledgements: everything that was accepted is sent
// before DISCONNECT.
func TestT24_NothingIsBehindDisconnect(t *testing.T) {
	t.Parallel()
	const n = 5000
	var d diary
	got := make(chan int, 1)
	url := scripted(t, true, func(p *peer) {
		p.send(publication(9, 1, false, "a", "x"))
		count := 0
		for {
			packet, ok := p.next()
			switch {
			case !ok || packet.Type() == mqtttest.TypeDisconnect:
				d.add("end %t", ok)
				got <- count
				return
			case packet.Type() == mqtttest.TypePublish:
				count++
			default:
				d.add("%v", packet.Type())
			}
		}
	})
	in := new(box)
	s := start(t, url, into(in))
	m := in.wait(t, 1)[0]
	for range n {
		if err := s.Publish(within(t, patience), &Message{Topic: "t", Payload: make([]byte, 100)}); err != nil {
			t.Fatal(err)
		}
	}
	m.Done()
	s.Close(within(t, patience))
	if count := <-got; count != n {
		t.Errorf("%d of %d arrived", count, n)
	}
	if list := d.all(); strings.Join(list, " ") != "PUBACK end true" {
		t.Errorf("%v", list)
	}
}

// Close returns within its context in every situation, and promptly if there is
// nothing to wait for.
func TestCloseAtEveryPoint(t *testing.T) {
	t.Parallel()
	silent := func(t *testing.T) string { // accepts, and never acknowledges
		return scripted(t, true, func(p *peer) {
			p.drain()
		})
	}
	stalled := func(t *testing.T) string {
		p := mqtttest.NewProxy(t, silent(t))
		p.Stall(true)
		return p.URL()
	}
	inFlight := func(t *testing.T, s *Session) {
		s.Start()
		ready(t, s)
		async(t, s, 1, "", new(outcomes))
	}
	for name, c := range map[string]struct {
		url    func(*testing.T) string
		before func(*testing.T, *Session)
		within time.Duration // how long Close may take
	}{
		"never started": {silent, func(*testing.T, *Session) {}, time.Second},
		"just started":  {silent, func(_ *testing.T, s *Session) { s.Start() }, time.Second},
		"idle":          {silent, func(t *testing.T, s *Session) { s.Start(); ready(t, s) }, time.Second},
		"no CONNACK":    {stalled, func(_ *testing.T, s *Session) { s.Start() }, 3 * time.Second},
		"in flight":     {silent, inFlight, 1500 * time.Millisecond},
		"outage":        {func(t *testing.T) string { return nowhere(t) }, func(t *testing.T, s *Session) { s.Start(); _ = s.WaitAttempt(within(t, patience)) }, time.Second},
		"outage, in flight": {func(t *testing.T) string {
			return scripted(t, true, func(p *peer) { p.next(); p.reset(); <-t.Context().Done() })
		}, inFlight, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, c.url(t), reconnect(time.Hour, time.Hour), func(c *Config) {
				c.ConnectTimeout, c.PublishTimeout, c.PingTimeout, c.WriteTimeout = time.Hour, time.Hour, time.Hour, time.Hour
			})
			c.before(t, s)
			ctx := within(t, 500*time.Millisecond)
			if strings.HasPrefix(name, "outage") {
				ctx = within(t, patience) // the limit is not used up
			}
			began := time.Now()
			s.Close(ctx)
			if took := time.Since(began); took > c.within+slack {
				t.Errorf("Close took %v", took)
			}
		})
	}
}

// Every way in which a publish can wait ends with its context.
func TestPublishEndsWithItsContext(t *testing.T) {
	t.Parallel()
	silent := scripted(t, true, func(p *peer) {
		p.drain()
	})
	s := start(t, silent, windowOf(1), func(c *Config) { c.PublishTimeout = 30 * time.Millisecond })
	m := &Message{Topic: "t", QoS: 1}
	if e := asError(t, s.Publish(t.Context(), m), event.ReasonTimeout); !e.MayHaveBeenSent { // the default timeout
		t.Error(e)
	}
	if e := asError(t, s.Publish(t.Context(), m), event.ReasonTimeout); e.MayHaveBeenSent { // no room
		t.Error(e)
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- s.Publish(ctx, m) }()
	mqtttest.Eventually(t, patience, func() bool { s.out.mu.Lock(); defer s.out.mu.Unlock(); return len(s.out.waiters) == 1 })
	cancel()
	asError(t, <-result, event.ReasonCanceled)
}
