package client

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// refusing is a broker that grants every filter except one, and acknowledges nothing else.
func refusing(t testing.TB, filter string) string {
	return mqtttest.ScriptedBroker(t, func(c net.Conn) {
		for {
			p, err := mqtttest.ReadPacket(c)
			if err != nil {
				return
			}
			switch p.Type() {
			case mqtttest.TypeConnect:
				_, _ = c.Write(mqtttest.ConnackPacket(4, false, 0))
			case mqtttest.TypeSubscribe:
				code := byte(1)
				if strings.Contains(string(p.Body[4:]), filter) {
					code = 0x80
				}
				_, _ = c.Write(mqtttest.SubackPacket(4, p.ID(), code))
			case mqtttest.TypeUnsubscribe:
				_, _ = c.Write(mqtttest.AckPacket(mqtttest.TypeUnsuback, p.ID()))
			}
		}
	}).URL()
}

func nowhere(t testing.TB) string { return "mqtt://" + port.Address(t) }

func ignore(context.Context, *Delivery) error { return nil }

func TestStartStopStart(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	var got seen
	c := client(t, b.URL())
	if err := c.Publish(t.Context(), encoded(&Message{Topic: "a"}, nil)); reasonOf(err) != event.ReasonNotConnected {
		t.Errorf("before Start: %v", err)
	}
	if c.Running() || !c.Status().Ended {
		t.Error("running before Start")
	}
	running(t, c, on("a", func(_ context.Context, d *Delivery) error { got.add("%s", d.Payload); return nil }))
	if err := c.Start(t.Context()); err != nil { // two Starts
		t.Fatal(err)
	}
	publish(t, c, "a", 1, "1")
	got.wait(t, 1)
	for range 2 {
		if err := c.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Publish(t.Context(), encoded(&Message{Topic: "a"}, nil)); reasonOf(err) != event.ReasonClosed {
		t.Errorf("after Stop: %v", err)
	}
	running(t, c)
	publish(t, c, "a", 1, "2")
	if list := got.wait(t, 2); list[1] != "2" {
		t.Errorf("%v", list)
	}
	if c.Endpoint() != b.URL() {
		t.Errorf("endpoint %q", c.Endpoint())
	}
}

// Start during Stop waits for the end of Stop, because both would use the same client ids.
func TestStartDuringStop(t *testing.T) {
	t.Parallel()
	var log book
	c := client(t, mqtttest.Mosquitto(t).URL(), logTo(&log))
	running(t, c, on("a", ignore))
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() { _ = c.Stop(within(t, patience)) })
		wg.Go(func() { _ = c.Start(within(t, patience)) })
	}
	wg.Wait()
	running(t, c)
	if log.has("another client") {
		t.Error("it fought itself")
	}
}

func TestBrokerDownAtStart(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	p := mqtttest.NewProxy(t, b.URL())
	p.Refuse(true)
	var connected, disconnected atomic.Int64
	c := client(t, p.URL(), func(c *Config) {
		c.OnConnect = func() { connected.Add(1); panic("in the hook") }
		c.OnDisconnect = func(error) { disconnected.Add(1) }
	})
	if _, err := c.Subscribe(t.Context(), on("a", ignore)); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(within(t, patience)); err != nil {
		t.Fatalf("down is not an error: %v", err)
	}
	p.Refuse(false)
	if err := c.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	p.Cut()
	eventually(t, func() bool { return connected.Load() == 2 && disconnected.Load() == 1 })

	failFast := client(t, nowhere(t), func(c *Config) { c.FailFast = true })
	if err := failFast.Start(within(t, patience)); reasonOf(err) != event.ReasonNetwork || failFast.Running() {
		t.Errorf("fail fast: %v", err)
	}
	refused := client(t, mqtttest.InProcess(t, testbroker.WithUsers(map[string]string{"ann": "right"})).URL(), func(c *Config) { c.Username, c.Password = "ann", "wrong" })
	if err := refused.Start(within(t, patience)); reasonOf(err) != event.ReasonNotAuthorized || refused.Running() {
		t.Errorf("refused login: %v", err)
	}
}

func TestStopDuringAnOutage(t *testing.T) {
	t.Parallel()
	p := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	c := running(t, client(t, p.URL()), on("a", ignore))
	publish(t, c, "b", 1, "x")
	p.BlackHole(mqtttest.ToBroker, true)
	var outcome atomic.Value
	if err := c.Publish(t.Context(), encoded(&Message{Topic: "b", QoS: 1}, func(err error) { outcome.Store(err) })); err != nil {
		t.Fatal(err)
	}
	p.Refuse(true)
	p.Cut()
	eventually(t, func() bool { return !c.Status().Connected })
	began := time.Now()
	if err := c.Stop(within(t, patience)); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > time.Second+slack {
		t.Errorf("Stop took %v", took)
	}
	err, _ := outcome.Load().(error)
	var e *event.Error
	if !errors.As(err, &e) || !e.MayHaveBeenSent || e.Reason != event.ReasonClosed {
		t.Errorf("publish in flight: %v", err)
	}
}

// Stop waits for handlers and sends their acknowledgements.
func TestStopDrainsHandlers(t *testing.T) {
	t.Parallel()
	p := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
	started, finish := make(chan struct{}, 20), make(chan struct{})
	var handled atomic.Int64
	c := running(t, client(t, p.URL(), func(c *Config) { c.Concurrency = 1 }), on("a", func(context.Context, *Delivery) error {
		started <- struct{}{}
		<-finish
		handled.Add(1)
		return nil
	}))
	for range 10 {
		publish(t, c, "a", 1, "x")
	}
	<-started
	eventually(t, func() bool { return c.current().sub.sched.Stats().Queued == 9 })
	stopped := make(chan error, 1)
	go func() { stopped <- c.Stop(within(t, patience)) }()
	eventually(t, func() bool { return !c.Running() })
	close(finish)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if handled.Load() != 10 {
		t.Errorf("%d handled", handled.Load())
	}
	eventually(t, func() bool { return acks(p) == 10 }, "acknowledged")
}

// Messages that are left at the end of the context are counted, stay unacknowledged, and
// are delivered again after the next Start.
func TestStopLeavesWhatItCannotFinish(t *testing.T) {
	t.Parallel()
	p := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
	var (
		log   book
		block atomic.Bool
		got   seen
	)
	block.Store(true)
	c := running(t, client(t, p.URL(), logTo(&log)), on("a", func(ctx context.Context, d *Delivery) error {
		if block.Load() {
			<-ctx.Done()
			return ctx.Err()
		}
		got.add("%s", d.Payload)
		return nil
	}))
	publish(t, c, "a", 1, "1", "2", "3")
	eventually(t, func() bool { s := c.current().sub.sched.Stats(); return s.Queued+s.Running == 3 })
	began := time.Now()
	err := c.Stop(within(t, 100*time.Millisecond))
	if took := time.Since(began); err == nil || took > time.Second+slack {
		t.Errorf("after %v: %v", took, err)
	}
	if acks(p) != 0 || !log.has("WARN", "3 messages unacknowledged") {
		t.Errorf("%d acknowledged; log %v", acks(p), log.all())
	}
	block.Store(false)
	running(t, c)
	if list := got.wait(t, 3); strings.Join(list, "") != "123" {
		t.Errorf("%v", list)
	}
}

// A Stop that a hook calls does not wait for that hook.
func TestStopFromAHook(t *testing.T) {
	t.Parallel()
	p := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	done := make(chan struct{})
	var c *Client
	c = client(t, p.URL(), func(cfg *Config) {
		cfg.OnDisconnect = func(error) {
			_ = c.Stop(within(t, 500*time.Millisecond))
			close(done)
		}
	})
	running(t, c, on("a", ignore))
	p.Refuse(true)
	p.Cut()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("Stop hangs")
	}
}

func TestSubscriptionsMoveToANewClient(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	var got seen
	old := running(t, client(t, b.URL()), on("a", func(_ context.Context, d *Delivery) error { got.add("%s", d.Payload); return nil }))
	if err := old.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	cfg := old.cfg
	cfg.ClientID = "another"
	c, err := NewClient(cfg, old)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Stop(within(t, patience)) })
	running(t, c)
	publish(t, c, "a", 1, "x")
	got.wait(t, 1)
}

func TestConfigurationProblems(t *testing.T) {
	t.Parallel()
	_, err := NewClient(Config{Concurrency: -1, Queue: -1, Connection: Connection{KeepAlive: -1}, DeadLetterTopic: "a/#"}, nil)
	for _, part := range []string{"connection.addresses", "subscriber.concurrency", "subscriber.queue", "connection.keep_alive", "subscriber.dead_letter_topic"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%v does not name %q", err, part)
		}
	}
	c := client(t, nowhere(t), func(c *Config) { c.MaxPayload = 10 })
	err = c.Publish(t.Context(), encoded(&Message{Topic: "a", Payload: make([]byte, 11)}, nil))
	if reasonOf(err) != event.ReasonTooLarge {
		t.Errorf("%v", err)
	}
}

// A publish-only service opens no subscriber.
func TestPublishOnly(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	c := running(t, client(t, b.URL()))
	publish(t, c, "a", 1, "x")
	if list := b.Sessions(); len(list) != 1 || list[0].ClientID != c.cfg.ClientID+c.cfg.PublisherSuffix {
		t.Errorf("%+v", list)
	}
}
