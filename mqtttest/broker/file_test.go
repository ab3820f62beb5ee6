package broker_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// A way to end a broker with a file and to start it again.
type restart struct {
	name string
	do   func(*mqtttest.InProcessBroker)
}

func restarts() []restart {
	return []restart{
		{"stop", func(b *mqtttest.InProcessBroker) { b.Stop() }},
		{"kill", func(b *mqtttest.InProcessBroker) { b.Kill(true) }},
	}
}

// onEach runs a test for both versions and both ends.
func onEach(t *testing.T, f func(t *testing.T, version byte, r restart)) {
	t.Helper()
	for _, r := range restarts() {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			onBoth(t, func(t *testing.T, version byte) { f(t, version, r) })
		})
	}
}

func filed(t *testing.T, opts ...broker.Option) *mqtttest.InProcessBroker {
	t.Helper()
	return mqtttest.InProcess(t, append([]broker.Option{broker.WithFile(filepath.Join(t.TempDir(), "data", "broker.journal"))}, opts...)...)
}

func TestFileKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, version byte, r restart) {
		b := filed(t, broker.SyncEvery(0))
		sub, pub := connect(t, b, version, "sub", false), connect(t, b, version, "pub", true)
		sub.subscribe("t/#", 2)
		sub.subscribe("gone", 1)
		sub.Send(unsubscribePacket(version, 2, "gone"))
		sub.Expect(broker.Unsuback)
		pub.publish(1, "t/1", 1, "handled")
		sub.expectPublish("handled", 1, false)
		sub.ack(broker.Puback, 1)
		pub.publish(2, "t/2", 1, "received")
		sub.expectPublish("received", 1, false)
		pub.publish(3, "t/3", 2, "released")
		sub.expectPublish("released", 2, false)
		sub.ack(broker.Pubrec, 3)
		sub.expectAck(broker.Pubrel, 3)
		sub.sync()
		sub.Close()
		mqtttest.Eventually(t, patience, func() bool {
			return slices.ContainsFunc(b.Sessions(), func(s broker.Session) bool { return s.ClientID == "sub" && !s.Connected })
		})
		pub.publish(4, "t/4", 2, "queued")
		pub.publish(5, "t/5", 0, "at most once")
		pub.publish(6, "gone", 1, "not subscribed")
		pub.sync()
		for range 2 { // what was read from a file is in the next one
			r.do(b)
			b.Start()
		}
		sub, present := resume(t, b, version, "sub")
		if !present {
			t.Fatal("no session")
		}
		sub.expectPublish("received", 1, true)
		sub.expectAck(broker.Pubrel, 3)
		sub.expectPublish("queued", 2, false)
		sub.sync() // and no more
	})
}

// What a client had not released before the end is not routed twice after it.
func TestFileKeepsReceivedQoS2(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, version byte, r restart) {
		b := filed(t)
		sub := connect(t, b, version, "sub", false)
		sub.subscribe("t", 2)
		pub := connect(t, b, version, "pub", false)
		once := mqtttest.PublishPacket(version, 7, "t", 2, "once")
		pub.Send(once)
		pub.expectAck(broker.Pubrec, 7)
		r.do(b)
		b.Start()
		pub, present := resume(t, b, version, "pub")
		if !present {
			t.Fatal("no session")
		}
		once[0] |= 8
		pub.Send(once)
		pub.expectAck(broker.Pubrec, 7)
		pub.ack(broker.Pubrel, 7)
		pub.expectAck(broker.Pubcomp, 7)
		if n := b.Counts().Repeated; n != 1 {
			t.Errorf("%d repeated", n)
		}
		if s := b.Sessions(); s[1].Pending != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFileKeepsRetained(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, version byte, r restart) {
		b := filed(t)
		pub := connect(t, b, version, "pub", true)
		for i, m := range []struct{ topic, payload string }{{"kept", "old"}, {"kept", "new"}, {"forgotten", "x"}, {"forgotten", ""}} {
			p := mqtttest.PublishPacket(version, uint16(i+1), m.topic, 1, m.payload)
			p[0] |= 1
			pub.Send(p)
			pub.expectAck(broker.Puback, uint16(i+1))
		}
		r.do(b)
		b.Start()
		if got := b.Retained(); !slices.Equal(got, []string{"kept"}) || b.Recovered().Retained != 1 {
			t.Fatalf("retained %q, recovered %+v", got, b.Recovered())
		}
		sub := connect(t, b, version, "sub", true)
		sub.subscribe("#", 1)
		if m := sub.expectPublish("new", 1, false); !m.Retain() {
			t.Error("not retained")
		}
	})
}

func TestFileKeepsSharedGroupsAndProperties(t *testing.T) {
	t.Parallel()
	for _, r := range restarts() {
		b := filed(t)
		one := connect(t, b, 5, "one", false)
		one.subscribe("$share/g/t", 1)
		one.goodbye()
		two := connect(t, b, 5, "two", false)
		two.Send(mqtttest.PacketOf(0x82, []byte{0, 1, 2, 0x0B, 77}, mqtttest.StringField("$share/g/t"), []byte{1}))
		two.Expect(broker.Suback)
		two.goodbye()
		pub := connect(t, b, 5, "pub", true)
		content := append([]byte{3}, mqtttest.StringField("text/plain")...)
		for i := range 2 {
			pub.publish5(1, "t", fmt.Sprint(i), 0, content...)
		}
		r.do(b)
		b.Start()
		two, _ = resume(t, b, 5, "two")
		if m := two.expectPublish("1", 1, false); !bytes.Contains(m.Body, content) || !bytes.Contains(m.Body, []byte{0x0B, 77}) {
			t.Errorf("properties % x", m.Body)
		}
		connect(t, b, 5, "one", true) // its session ends: its message goes to two
		two.expectPublish("0", 1, false)
	}
}

func TestFileForgetsWhatHasExpired(t *testing.T) {
	t.Parallel()
	b := filed(t)
	short := append([]byte{0x11}, 0, 0, 0, 1)
	gone, _ := connectWith(t, b, "gone", false, short...)
	gone.subscribe("t", 1)
	stays := connect(t, b, 5, "stays", false)
	stays.subscribe("t", 1)
	stays.goodbye()
	gone.goodbye()
	pub := connect(t, b, 5, "pub", true)
	pub.publish5(1, "t", "expires", 0, 2, 0, 0, 0, 1)
	pub.publish5(2, "t", "stays", 0) // once it is acknowledged, the file contains the ends of the connections, too
	b.Kill(true)
	<-time.After(1200 * time.Millisecond) // both expire while nobody runs
	b.Start()
	if _, present := resume(t, b, 5, "gone"); present {
		t.Error("a session that expired is there")
	}
	stays, _ = resume(t, b, 5, "stays")
	stays.expectPublish("stays", 1, false)
	stays.sync()
}

// A damaged end of the file, from any byte on, loses only its own content. The broker starts
// and reports how much was cut.
func TestDamagedEndIsCut(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "broker.journal")
	log := &logged{}
	b := mqtttest.InProcess(t, broker.WithFile(path), broker.WithLogger(log.logger()))
	sub := connect(t, b, 5, "sub", false)
	sub.subscribe("t", 1)
	sub.goodbye()
	pub := connect(t, b, 5, "pub", true)
	pub.publish(1, "t", 1, "first")
	before := whole(t, path)
	pub.publish(2, "t", 1, "second")
	b.Kill(true)
	content := whole(t, path)
	if len(content) <= len(before) || !bytes.HasPrefix(content, before) {
		t.Fatalf("%d bytes, then %d", len(before), len(content))
	}
	for n := len(before); n < len(content); n++ {
		for _, damage := range []func([]byte){
			func(b []byte) { b[n] ^= 0x55 },
			nil, // cut short
		} {
			bad := bytes.Clone(content)
			if damage == nil {
				bad = bad[:n]
			} else {
				damage(bad)
			}
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			b.Start()
			found := b.Recovered()
			if want := int64(len(bad) - len(before)); found.Cut != want || found.Messages != 1 || found.Sessions != 1 {
				t.Fatalf("byte %d: %+v, want %d cut", n, found, want)
			}
			if got := log.String(); len(bad) > len(before) && !strings.Contains(got, fmt.Sprint("bytes=", found.Cut)) {
				t.Fatalf("log %q", got)
			}
			b.Kill(true)
		}
	}
	if err := os.WriteFile(path, []byte("something else, not a journal"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.Broker.Start(); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("another file: %v", err)
	}
}

func TestFileIsCompacted(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "broker.journal")
	b := mqtttest.InProcess(t, broker.WithFile(path))
	away := connect(t, b, 4, "away", false)
	away.subscribe("kept", 1)
	away.goodbye()
	sub := connect(t, b, 4, "sub", false)
	sub.subscribe("t", 1)
	pub := connect(t, b, 4, "pub", true)
	pub.publish(1, "kept", 1, "kept")
	body := strings.Repeat("x", 1<<20)
	for i := range 50 { // 50 MiB go through
		pub.publish(uint16(i+1), "t", 1, body)
		m := sub.expectPublish(body, 1, false)
		sub.ack(broker.Puback, m.ID())
	}
	sub.sync()
	mqtttest.Eventually(t, patience, func() bool { return b.Stats().FileBytes < 24<<20 }, "the file is not compacted")
	b.Kill(true)
	b.Start()
	if got := b.Recovered(); got.Cut != 0 || got.Sessions != 2 || got.Messages != 1 {
		t.Errorf("%+v", got)
	}
	away, _ = resume(t, b, 4, "away")
	away.expectPublish("kept", 1, false)
}

func TestFileHasOneBroker(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "broker.journal")
	first := mqtttest.InProcess(t, broker.WithFile(path))
	if second, err := broker.Listen(broker.WithFile(path)); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("second broker: %v", err)
		second.Close()
	}
	first.Stop()
	second, err := broker.Listen(broker.WithFile(path))
	if err != nil {
		t.Fatal(err)
	}
	second.Close()
}

func whole(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func unsubscribePacket(version byte, id uint16, filter string) []byte {
	var properties []byte
	if version == 5 {
		properties = []byte{0}
	}
	return mqtttest.PacketOf(0xA2, mqtttest.Uint16Field(id), properties, mqtttest.StringField(filter))
}

// logged is what a broker logs.
type logged struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logged) logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }
