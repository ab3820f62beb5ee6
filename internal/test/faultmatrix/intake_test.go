package faultmatrix_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// Received messages are bounded in memory, and none of them stops the others.

// reckless is a broker that grants every filter and answers pings, and sends that many
// QoS 1 messages after the first SUBACK, regardless of acknowledgements.
func (h *harness) reckless(messages int, size int) *mqtttest.Scripted {
	var once sync.Once
	body := strings.Repeat("x", size)
	return h.polite(h.grant, func(_ int, c net.Conn) {
		once.Do(func() {
			go func() { // a PINGREQ is answered, but only after all messages
				for i := range messages {
					_, err := c.Write(mqtttest.PublishPacket(h.level(), uint16(i+1), fmt.Sprintf("%s/data/%d", h.name, i%64), 1, body+id(i)))
					if err != nil {
						return
					}
				}
			}()
		})
	})
}

// gated returns a subscriber whose handlers wait for a gate.
func (h *harness) gated(url string, queue uint32) (s *subscriber, open func()) {
	gate := make(chan struct{})
	s = h.newSubscriber(url, "-sub", mqttbroker.WithKeepAlive(time.Second),
		mqttbroker.WithSubscriberConfig(&v1.Subscriber{Queue: queue, Concurrency: 4}))
	s.subscribe(h.name+"/data/+", func(ctx context.Context, _, payload string) error {
		select {
		case <-gate:
		case <-ctx.Done():
			return ctx.Err()
		}
		h.rec.Handled(idOf([]byte(payload)))
		return nil
	})
	return s, sync.OnceFunc(func() { close(gate) })
}

// add subscribes while the subscriber runs.
func (s *subscriber) add(filter string) error {
	return s.h.said.err(s.s.RegisterSubscriber(s.h.within(patience), filter, func(context.Context, broker.Event) error { return nil }, nil))
}

func (s *subscriber) held() int {
	health := s.health()
	return health.Queued + health.Running
}

// expect records messages that a fake broker sends.
func (h *harness) expect(n int) {
	for i := range n {
		h.rec.Attempted(id(i))
		h.rec.Accepted(id(i))
	}
}

// If a broker sends beyond every window, its socket is not read for a while. The
// connection outlives several keep-alive intervals without a PINGRESP of the broker, no
// more messages are held than the queue takes, and nothing is lost.
func TestIntake_BackPressure(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, queue, size = 4000, 100, 4 << 10
		h.expect(messages)
		s, open := h.gated(h.reckless(messages, size).URL(), queue)
		s.run()
		h.eventually(func() error {
			if jam := s.health().BackPressure; jam < 3500*time.Millisecond { // the keep-alive is 1 s
				return fmt.Errorf("back-pressure for %v, %d held", jam, s.held())
			}
			return nil
		})
		if n := s.held(); n != queue {
			h.Errorf("%d messages held, want %d", n, queue)
		}
		open()
		h.settled()
		if n := len(s.lost()); n > 0 {
			h.Errorf("%d connections lost: %v", n, s.lost()[0].info.Err)
		}
		h.eventually(func() error {
			if jam := s.health().BackPressure; jam != 0 {
				return fmt.Errorf("back-pressure for %v", jam)
			}
			return nil
		})
	})
}

// The bound in bytes counts whole packets, and a packet that exceeds the bound is handled
// by itself.
func TestIntake_BackPressureOfBytes(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, bound, size = 300, 200 << 10, 50 << 10
		h.expect(messages)
		gate := make(chan struct{})
		s := h.newSubscriber(h.reckless(messages, size).URL(), "-sub",
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{QueueBytes: bound, Concurrency: 1, MaxPayload: 1 << 20}))
		s.subscribe(h.name+"/data/+", func(_ context.Context, _, payload string) error {
			<-gate
			h.rec.Handled(idOf([]byte(payload)))
			return nil
		})
		s.run()
		h.eventually(func() error {
			if s.health().BackPressure == 0 {
				return errors.New("no back-pressure")
			}
			return nil
		})
		if n := s.held(); n < 1 || n > bound/size {
			h.Errorf("%d messages of %d bytes held within %d", n, size, bound)
		}
		close(gate)
		h.settled()
	})
	t.Run("larger than the bound", func(t *testing.T) {
		t.Parallel()
		eachVersion(t, func(h *harness) {
			const messages = 20
			h.expect(messages)
			s := h.newSubscriber(h.reckless(messages, 10<<10).URL(), "-sub", mqttbroker.WithSubscriberConfig(&v1.Subscriber{QueueBytes: 1000}))
			s.record(h.name + "/data/+")
			s.run()
			h.settled()
		})
	})
}

// A slow message delays the acknowledgements of later messages. Messages that are handled
// but not acknowledged are bounded as well, whatever the broker sends.
func TestIntake_BoundBehindSlowMessage(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, queue, window = 5000, 100, 1024
		h.expect(messages)
		gate := make(chan struct{})
		s := h.newSubscriber(h.reckless(messages, 100).URL(), "-sub", mqttbroker.WithKeepAlive(time.Second),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{Queue: queue}))
		s.subscribe(h.name+"/data/+", func(_ context.Context, topic, payload string) error {
			if strings.HasSuffix(topic, "/0") {
				<-gate
			}
			h.rec.Handled(idOf([]byte(payload)))
			return nil
		})
		s.run()
		h.eventually(func() error {
			if s.health().BackPressure < 500*time.Millisecond {
				return fmt.Errorf("no back-pressure after %d messages", s.attempts.Load())
			}
			return nil
		})
		if n := s.attempts.Load(); n > queue+window {
			h.Errorf("%d messages handled behind one that is not", n)
		}
		close(gate)
		h.settled()
		if n := len(s.lost()); n > 0 {
			h.Errorf("%d connections lost: %v", n, s.lost()[0].info.Err)
		}
	})
}

// The SUBACK of a SUBSCRIBE follows the messages that the broker has already sent. The
// client reads up to twice the bound while it waits for it; after more messages the call
// fails with the reason, and messages that are already there are still handled.
func TestIntake_SubscribeUnderBackPressure(t *testing.T) {
	t.Parallel()
	const queue = 100
	for name, messages := range map[string]int{"within twice the bound": queue * 3 / 2, "behind more": queue * 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				h.expect(messages)
				s, open := h.gated(h.reckless(messages, 100).URL(), queue)
				s.run()
				h.eventually(func() error { return atLeast("messages held", s.held(), queue) })
				began := time.Now()
				err := s.add(h.name + "/late")
				if within := messages <= 2*queue; within != (err == nil) {
					h.Errorf("%v", err)
				} else if !within && !strings.Contains(err.Error(), "twice its limit") {
					h.Errorf("the error does not say why: %v", err)
				}
				if took := time.Since(began); took > patience/2 {
					h.Errorf("answered after %v", took)
				}
				if n := s.held(); n > 2*queue {
					h.Errorf("%d messages held, want %d", n, 2*queue)
				}
				open()
				h.settled()
				if n := len(s.lost()); n > 0 {
					h.Errorf("%d connections lost: %v", n, s.lost()[0].info.Err)
				}
				if err := s.add(h.name + "/later"); err != nil {
					h.Errorf("with room again: %v", err)
				}
			})
		})
	}
}

// Stop drains while the connection is not read.
func TestIntake_StopUnderBackPressure(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const messages, queue = 5000, 100
		s, open := h.gated(h.reckless(messages, 100).URL(), queue)
		s.run()
		h.eventually(func() error { return atLeast("messages held", s.held(), queue) })
		stopped := make(chan error, 1)
		go func() { stopped <- s.stop(patience) }()
		open()
		select {
		case err := <-stopped:
			if err != nil {
				h.Errorf("stop: %v", err)
			}
		case <-time.After(patience):
			h.Error("stop does not return")
		}
	})
}

// QoS 0 below the speed of the machine loses nothing: each burst is four times what the
// queue takes, and starts after the previous one was handled.
func TestIntake_QoS0LosesNothing(t *testing.T) {
	oneByOne(t, func(h *harness) { // otherwise the other rows take the time
		const bursts, burst, queue = 40, 256, 64
		b := h.mosquitto()
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithSubscriberConfig(&v1.Subscriber{Queue: queue}))
		var handled atomic.Int64 // the recorder would slow down the handlers
		s.subscribe(h.name+"/data/+", func(context.Context, string, string) error {
			handled.Add(1)
			return nil
		})
		s.run()
		p := h.publisher(b.URL(), "-pub")
		l := p.load(nil)
		for i := range bursts {
			for j := range burst {
				l.send(fmt.Sprintf("%s/data/%d", h.name, j), []byte(id(i*burst+j)), event.QoS(0))
			}
			h.eventually(func() error {
				if n := s.health().QueueFull; n > 0 {
					h.Fatalf("%d dropped", n)
				}
				return atLeast("handled", int(handled.Load()), (i+1)*burst)
			})
		}
		l.succeeded()
	})
}

// A QoS 0 message waits for room only briefly, and the ones after it then do not wait at
// all: dropped messages are counted, and QoS 1 messages are accepted once there is room.
func TestIntake_QoS0Overflow(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const queue, share, flood = 50, 25, 2000 // the share of one device, while no other device sends
		b := mqtttest.InProcess(h)
		s, open := h.gated(b.URL(), queue)
		s.run()
		p := h.publisher(b.URL(), "-pub")
		began := time.Now()
		l := p.load(nil)
		for i := range flood {
			l.send(h.name+"/data/0", []byte(id(i)), event.QoS(0))
		}
		h.eventually(func() error {
			if n := s.health().QueueFull; n != flood-share {
				return fmt.Errorf("%d dropped, want %d", n, flood-share)
			}
			return nil
		})
		if took := time.Since(began); took > 5*time.Second+slack {
			h.Errorf("dropped after %v", took)
		}
		open()
		p.must(h.name+"/data/1", id(flood))
		h.eventually(func() error {
			if n := s.held(); n > 0 {
				return fmt.Errorf("%d held", n)
			}
			return nil
		})
		before := s.health().QueueFull
		p.must(h.name+"/data/1", id(flood+1))
		h.eventually(func() error {
			if s.attempts.Load() < share+2 {
				return errors.New("the last is not handled")
			}
			return nil
		})
		if n := s.health().QueueFull - before; n > 0 {
			h.Errorf("%d dropped with room", n)
		}
	})
}

// reports.md A5: on both versions, a message over the limit becomes a dead letter with its
// size, and later messages are handled. The client does not announce the limit to the
// broker, which would silently drop the message.
func TestIntake_Oversize(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		b := mqtttest.InProcess(h, testbroker.MaxPacket(32<<20))
		store := deadletter.NewMemory(0)
		s := h.newSubscriber(b.URL(), "-sub", mqttbroker.WithDeadLetters(store))
		s.record(h.name + "/data/+")
		s.run()
		raw := mqtttest.Raw(h, strings.TrimPrefix(b.URL(), "mqtt://"))
		raw.Connect(4, h.name+"-raw", true)
		sizes := []int{2 << 20, 20 << 20}
		for i, size := range sizes {
			topic := h.name + "/data/1"
			h.rec.Attempted(id(i))
			h.rec.Accepted(id(i))
			raw.Send(mqtttest.PublishPacket(4, 1, topic, 1, strings.Repeat("x", size)))
			raw.Expect(mqtttest.TypePuback)
			raw.Send(mqtttest.PublishPacket(4, 1, topic, 1, id(i)))
			raw.Expect(mqtttest.TypePuback)
		}
		h.settled()
		h.eventually(func() error { return atLeast("dead letters", len(s.told()), len(sizes)) })
		letters := h.lettersIn(store, deadletter.Dead)
		if len(letters) != len(sizes) {
			h.Fatalf("%d letters", len(letters))
		}
		for _, l := range letters {
			if len(l.Payload) > 0 || l.Topic != h.name+"/data/1" || l.QoS != 1 || l.Attempts != 1 {
				h.Errorf("%+v", l)
			}
			sum := sha256.Sum256([]byte(strings.Repeat("x", int(l.Omitted.Size))))
			if !slices.Contains(sizes, int(l.Omitted.Size)) || l.Omitted.SHA256 != hex.EncodeToString(sum[:]) {
				h.Errorf("the letter omits %v", l.Omitted)
			}
		}
		if n := len(s.lost()); n > 0 {
			h.Errorf("%d connections lost: %v", n, s.lost()[0].info.Err)
		}
	})
}

// engine.md D6: a broker that forwards ill-formed text and keeps the session sends it first
// on every connection. It ends one connection, and is a dead letter when it arrives again;
// the 50 valid messages after it arrive.
func TestIntake_IllFormedText(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(p []byte) []byte{
		"topic that is no UTF-8": func(p []byte) []byte { return replaced(p, "BAD", "B\xff\xfe") },
		"NUL in the topic":       func(p []byte) []byte { return replaced(p, "BAD", "B\x00D") },
		"wildcard in the topic":  func(p []byte) []byte { return replaced(p, "BAD", "B+#") },
		"user property":          func(p []byte) []byte { return replaced(p, "header", "\xff\x00eade") },
		"content type":           func(p []byte) []byte { return replaced(p, "text/plain", "text\xc3\x28lain") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachVersion(t, func(h *harness) {
				if !h.five() && !strings.Contains(name, "topic") {
					h.Skip("MQTT 3.1.1 has no properties")
				}
				h.illFormed(damage)
			})
		})
	}
}

func replaced(p []byte, old, by string) []byte {
	return []byte(strings.Replace(string(p), old, by, 1))
}

func (h *harness) illFormed(damage func(p []byte) []byte) {
	const good = 50
	bad := h.name + "/data/BAD"
	b := mqtttest.InProcess(h, testbroker.WithFaults(testbroker.Fault{
		Direction: testbroker.ToClient, Type: testbroker.Publish, Filter: testbroker.Topic(bad),
		Do: testbroker.Rewrite(func(p testbroker.Packet) [][]byte { return [][]byte{damage(p.Encode())} }),
	}))
	proxy := mqtttest.NewProxy(h, b.URL())
	store := deadletter.NewMemory(0)
	s := h.newSubscriber(proxy.URL(), "-sub", mqttbroker.WithDeadLetters(store))
	s.record(h.name + "/data/+")
	s.run()
	proxy.Refuse(true)
	proxy.Cut()
	h.eventually(func() error { return eachLost([]*spy{s.spy}) })
	p := h.publisher(b.URL(), "-pub")
	headers := []event.CallOption{}
	if h.five() {
		headers = append(headers, event.Header("header", "value"), event.ContentType("text/plain"))
	}
	if err := p.publish(h.within(patience), bad, "bad", headers...); err != nil {
		h.Fatal(err)
	}
	for i := range good {
		p.must(fmt.Sprintf("%s/data/%d", h.name, i%4), id(i))
	}
	lost := len(s.lost())
	began := time.Now()
	proxy.Refuse(false)
	h.settled()
	h.figure("50 messages behind an ill-formed one", time.Since(began))
	if took := time.Since(began); took > 2*time.Second+slack {
		h.Errorf("the good messages took %v", took)
	}
	if n := len(s.lost()) - lost; n != 1 {
		h.Errorf("%d connections ended, want 1", n)
	}
	h.eventually(func() error { return atLeast("dead letters", len(s.told()), 1) })
	letters := h.lettersIn(store, deadletter.Dead)
	if len(letters) != 1 || string(letters[0].Payload) != "bad" || letters[0].Attempts != 1 {
		h.Fatalf("%d letters: %+v", len(letters), letters)
	}
	if l := letters[0]; !strings.HasPrefix(l.Topic, h.name+"/data/B") || !utf8.ValidString(l.Topic) || strings.ContainsAny(l.Topic, "\x00+#") {
		h.Errorf("letter on topic %q", l.Topic)
	}
	h.eventually(func() error {
		for _, session := range b.Sessions() {
			if strings.HasSuffix(session.ClientID, "-sub") && session.Pending > 0 {
				return fmt.Errorf("not acknowledged: %+v", session)
			}
		}
		return nil
	})
}

// Ill-formed QoS 0 messages are dropped and counted, and end nothing.
func TestIntake_IllFormedQoS0(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(h *harness) {
		const bad = 20
		b := mqtttest.InProcess(h)
		s := h.newSubscriber(b.URL(), "-sub")
		s.record(h.name + "/#")
		s.run()
		for range bad {
			b.Send(mqtttest.PublishPacket(h.level(), 0, h.name+"/\xff", 0, "x"), h.name+"-sub")
		}
		p := h.publisher(b.URL(), "-pub")
		p.must(h.name+"/data", id(0))
		h.settled()
		if n := s.health().IllFormed; n != bad {
			h.Errorf("%d counted", n)
		}
		if n := len(s.lost()); n > 0 {
			h.Errorf("%d connections lost", n)
		}
		h.eventually(func() error { return atLeast("drops told", int(s.illFormed.Load()), bad) })
	})
}
