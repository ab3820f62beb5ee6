package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// T6: a message is acknowledged when all of its handlers are done; overlapping
// filters run each handler once.
func TestT06_AcknowledgedWhenEveryHandlerIsDone(t *testing.T) {
	t.Parallel()
	p := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
	var got seen
	slow := make(chan struct{})
	handler := func(name string, gate chan struct{}) Handler {
		return func(_ context.Context, d *Delivery) error {
			if gate != nil {
				<-gate
			}
			got.add("%s %s", name, d.Payload)
			return nil
		}
	}
	c := running(t, client(t, p.URL()),
		on("a/b", handler("exact", nil)), on("a/+", handler("plus", nil)), on("a/#", handler("slow", slow)),
		on("a/b", handler("second on the filter", nil)), on("other", handler("other", nil)))
	publish(t, c, "a/b", 1, "x")
	list := got.wait(t, 3)
	slices.Sort(list)
	if want := []string{"exact x", "plus x", "second on the filter x"}; !slices.Equal(list, want) {
		t.Errorf("%v", list)
	}
	if n := acks(p); n != 0 {
		t.Errorf("%d acknowledged with a handler at work", n)
	}
	close(slow)
	eventually(t, func() bool { return acks(p) == 1 })
	if n := len(got.all()); n != 4 {
		t.Errorf("handlers ran %d times", n)
	}
}

func TestOrderPerTopicParallelAcross(t *testing.T) {
	t.Parallel()
	var (
		got   seen
		inUse atomic.Int64
		most  atomic.Int64
	)
	b := mqtttest.Mosquitto(t, mqtttest.WithMaxInflight(200))
	c := running(t, client(t, b.URL()), on("o/+", func(_ context.Context, d *Delivery) error {
		n := inUse.Add(1)
		defer inUse.Add(-1)
		raise(&most, n)
		time.Sleep(time.Millisecond) //nolint:forbidigo // the handler's work
		got.add("%s %s", d.Topic, d.Payload)
		return nil
	}))
	const topics, each = 8, 20
	for i := range each {
		for k := range topics {
			m := &Message{Topic: fmt.Sprintf("o/%d", k), QoS: 1, Payload: fmt.Append(nil, i)}
			if err := c.Publish(within(t, patience), encoded(m, func(error) {})); err != nil {
				t.Fatal(err)
			}
		}
	}
	next := map[string]int{}
	for _, line := range got.wait(t, topics*each) {
		topic, n, _ := strings.Cut(line, " ")
		if n != fmt.Sprint(next[topic]) {
			t.Fatalf("%s got %s, want %d", topic, n, next[topic])
		}
		next[topic]++
	}
	if most.Load() < 2 {
		t.Error("topics were not handled in parallel")
	}
}

// T7: a handler can publish and wait for the acknowledgement without a deadlock, even with
// one handler at a time.
func TestT07_PublishingFromAHandler(t *testing.T) {
	t.Parallel()
	for _, concurrency := range []int{1, 4} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			t.Parallel()
			var got seen
			c := client(t, mqtttest.Mosquitto(t).URL(), func(c *Config) { c.Concurrency = concurrency })
			running(t, c,
				on("first", func(ctx context.Context, d *Delivery) error {
					return c.Publish(ctx, encoded(&Message{Topic: "second", QoS: 1, Payload: d.Payload}, nil))
				}),
				on("second", func(_ context.Context, d *Delivery) error {
					got.add("%s", d.Payload)
					return nil
				}))
			for range 50 {
				if err := c.Publish(within(t, patience), encoded(&Message{Topic: "first", QoS: 1}, func(error) {})); err != nil {
					t.Fatal(err)
				}
			}
			got.wait(t, 50)
		})
	}
}

// letterOf reads a dead letter.
func letterOf(t testing.TB, payload []byte) *deadletter.Letter {
	t.Helper()
	l, err := deadletter.Decode(&message.Message{Payload: payload})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// letters collects dead letters as a foreign client receives them.
func letters(t testing.TB, url string) *seen {
	t.Helper()
	s := new(seen)
	running(t, client(t, url, func(c *Config) { c.ClientID = "reader"; c.Service = "reader" }), on("dead-letter/shop/+/+", func(_ context.Context, d *Delivery) error {
		s.add("%s", d.Payload)
		return nil
	}))
	return s
}

// After an error the handler is called again, then the message is dead-lettered. It is
// acknowledged after the broker has acknowledged the dead letter, in receive order.
func TestErrorRetryDeadLetterThenAcknowledge(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	p := mqtttest.NewProxy(t, b.URL())
	read := letters(t, b.URL())
	var (
		order seen
		log   book
		tries atomic.Int64
		told  atomic.Int64
	)
	bad := on("work", func(_ context.Context, d *Delivery) error {
		if int64(d.Attempt()) != tries.Add(1) {
			t.Errorf("attempt %d", d.Attempt())
		}
		return errors.New("no such customer")
	})
	bad.MaxAttempts, bad.Backoff = 3, time.Millisecond
	bad.OnDeadLetter = func(context.Context, *Delivery, error) { told.Add(1); panic("in the hook") }
	c := running(t, client(t, p.URL(), logTo(&log)), bad)
	publish(t, c, "work", 1, "order 1")
	p.Observe(func(o mqtttest.Observed) {
		switch {
		case o.Direction == mqtttest.ToBroker && o.Type() == mqtttest.TypePublish && strings.HasPrefix(o.Topic(), "dead-letter/shop/") && strings.Count(o.Topic(), "/") == 3:
			order.add("letter")
		case o.Type() == mqtttest.TypePuback && len(order.all()) > 0: // not of the self-test
			order.add("PUBACK %v", o.Direction)
		}
	})
	l := letterOf(t, []byte(read.wait(t, 1)[0]))
	if l.Service != "shop" || l.Filter != "work" || l.Key != "work" || l.Topic != "work" || l.Attempts != 3 ||
		l.QoS != 1 || string(l.Payload) != "order 1" || l.Reason != "no such customer" || l.ID == "" || time.Since(l.Time) > time.Minute {
		t.Errorf("%+v", l)
	}
	eventually(t, func() bool { return len(order.all()) >= 3 })
	if got := order.all(); !slices.Equal(got, []string{"letter", "PUBACK to client", "PUBACK to broker"}) {
		t.Errorf("%v", got)
	}
	if told.Load() != 1 || !log.has("hook panicked") || !log.has("ERROR", "dead-lettered", l.ID) {
		t.Errorf("hook called %d times; log %v", told.Load(), log.all())
	}
}

// A message whose dead letter is not acknowledged stays unacknowledged; the next attempt
// uses the same id.
func TestDeadLetterFails(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	p := mqtttest.NewProxy(t, b.URL())
	read := letters(t, b.URL())
	var log book
	bad := on("work", func(context.Context, *Delivery) error { return errors.New("bad") })
	bad.Classify = func(error) event.Verdict { return event.VerdictDeadLetter }
	bad.Backoff = time.Millisecond
	c := running(t, client(t, p.URL(), logTo(&log), func(c *Config) { c.StoreTimeout = time.Second }), bad)
	tested(t, c) // what is dropped below is of dead letters
	source := running(t, client(t, b.URL(), func(c *Config) { c.ClientID = "source" }))
	before := acks(p)
	p.Drop(mqtttest.ToClient, mqtttest.TypePuback, 2) // of the dead letters
	publish(t, source, "work", 1, "x")
	eventually(t, func() bool { return log.has("letter not accepted") })
	if n := acks(p); n != before {
		t.Errorf("%d acknowledged without a dead letter", n-before)
	}
	eventually(t, func() bool { return acks(p) == before+1 })
	list := read.wait(t, 3)
	for _, raw := range list {
		if l := letterOf(t, []byte(raw)); l.ID != letterOf(t, []byte(list[0])).ID || l.Attempts != 1 {
			t.Errorf("%+v", l)
		}
	}
	_ = c
}

// A permanent error is dead-lettered at once; a panic counts as an error.
func TestT14_PanicAndPermanentErrors(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	read := letters(t, b.URL())
	permanent := errors.New("cannot be decoded")
	var (
		log book
		got seen
	)
	s := on("work", func(_ context.Context, d *Delivery) error {
		got.add("%s", d.Payload)
		switch string(d.Payload) {
		case "panic":
			panic("boom")
		case "bad":
			return permanent
		}
		return nil
	})
	s.MaxAttempts, s.Backoff = 2, time.Millisecond
	s.Classify = func(err error) event.Verdict {
		if errors.Is(err, permanent) {
			return event.VerdictDeadLetter
		}
		return event.VerdictRetry
	}
	c := running(t, client(t, b.URL(), logTo(&log)), s)
	publish(t, c, "work", 1, "panic", "bad", "good")
	if list := got.wait(t, 4); !slices.Equal(list, []string{"panic", "panic", "bad", "good"}) {
		t.Errorf("%v", list)
	}
	list := read.wait(t, 2)
	if l := letterOf(t, []byte(list[0])); l.Attempts != 2 || !strings.Contains(l.Reason, "boom") {
		t.Errorf("%+v", l)
	}
	if l := letterOf(t, []byte(list[1])); l.Attempts != 1 || l.Reason != permanent.Error() {
		t.Errorf("%+v", l)
	}
	if !log.has("ERROR", "panicked", "consume_test.go") {
		t.Error("no stack in the log")
	}
}

func TestManualAcknowledgement(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	p := mqtttest.NewProxy(t, b.URL())
	held := make(chan *Delivery, 3)
	manual := on("m", func(_ context.Context, d *Delivery) error {
		if string(d.Payload) == "fails" {
			return errors.New("bad")
		}
		held <- d
		return nil
	})
	manual.ManualAck, manual.MaxAttempts = true, 1
	c := running(t, client(t, p.URL()), manual, on("m", func(_ context.Context, d *Delivery) error {
		d.Ack() // of no effect here
		return nil
	}))
	tested(t, c) // or its acknowledgements count, too
	before := acks(p)
	publish(t, c, "m", 1, "x")
	d := <-held
	publish(t, c, "other", 1, "x") // a round trip
	if n := acks(p); n != before {
		t.Error("acknowledged before Ack")
	}
	d.Ack()
	d.Ack()
	eventually(t, func() bool { return acks(p) == before+1 })
	publish(t, c, "m", 1, "fails") // dead-lettered: nobody else would acknowledge it
	eventually(t, func() bool { return acks(p) == before+2 })
}

// T8: QoS 0 messages that exceed the queue are dropped and counted, without more
// goroutines.
func TestT08_QoS0Flood(t *testing.T) {
	t.Parallel()
	var handled, running0, most atomic.Int64
	gate := make(chan struct{})
	c := running(t, client(t, mqtttest.InProcess(t).URL(), func(c *Config) { c.Queue, c.Concurrency = 10, 2 }),
		&Subscription{Filter: "f/+", Handler: func(context.Context, *Delivery) error {
			n := running0.Add(1)
			defer running0.Add(-1)
			raise(&most, n)
			<-gate
			handled.Add(1)
			return nil
		}})
	const n = 2000
	for i := range n {
		publish(t, c, fmt.Sprintf("f/%d", i), 0, "x")
	}
	eventually(t, func() bool { return c.Dropped() >= n-10 })
	close(gate)
	eventually(t, func() bool { return handled.Load()+c.Dropped() == n })
	if most.Load() > 2 || handled.Load() > 10 {
		t.Errorf("%d at once, %d handled", most.Load(), handled.Load())
	}
}

// Unmatched messages of an earlier deployment do not stop later messages: after the grace
// they become dead letters, or are dropped if the policy asks for that.
func TestT03_UnmatchedTopic(t *testing.T) {
	t.Parallel()
	for _, drop := range []bool{false, true} {
		t.Run(fmt.Sprintf("drop %t", drop), func(t *testing.T) {
			t.Parallel()
			b := mqtttest.Mosquitto(t)
			first := running(t, client(t, b.URL()), on("old", func(context.Context, *Delivery) error { return nil }))
			if err := first.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			source := running(t, client(t, b.URL(), func(c *Config) { c.ClientID = "source" }))
			for range 30 { // more than the broker's window
				publish(t, source, "old", 1, "x")
			}
			var (
				got   seen
				log   book
				grace = 300 * time.Millisecond
				store = deadletter.NewMemory(0)
			)
			second := running(t, client(t, b.URL(), logTo(&log), keepIn(store), func(c *Config) {
				c.UnmatchedGrace = &grace
				if drop {
					c.Unmatched = event.UnmatchedDrop
				}
			}), on("new", func(_ context.Context, d *Delivery) error {
				got.add("%s", d.Payload)
				return nil
			}))
			publish(t, source, "new", 1, "y")
			got.wait(t, 1)
			dropped, letters := int64(0), int64(30)
			if drop {
				dropped, letters = 30, 0
			}
			eventually(t, func() bool {
				h := second.Health()
				return h.Unmatched == dropped && h.UnmatchedLetters == letters && h.UnmatchedKept == 0
			})
			list, err := store.List(t.Context(), deadletter.Query{})
			if err != nil || int64(len(list)) != letters {
				t.Errorf("%d letters, %v", len(list), err)
			}
			for _, l := range list {
				if l.Reason != "no subscription" || l.Topic != "old" || string(l.Payload) != "x" || l.Filter != "" || l.Attempts != 0 {
					t.Errorf("%+v", l)
				}
			}
			if !log.has("WARN", "no subscription matches", "name old ", "kept") {
				t.Errorf("%v", log.all())
			}
		})
	}
}

// A message may match a registration as soon as it exists.
func TestSubscribeUnderLoad(t *testing.T) {
	t.Parallel()
	var handled atomic.Int64
	count := func(context.Context, *Delivery) error { handled.Add(1); return nil }
	c := running(t, client(t, mqtttest.InProcess(t).URL()), on("load", count))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				_ = c.Publish(context.Background(), encoded(&Message{Topic: "load", QoS: 1}, func(error) {}))
			}
		}
	}()
	for range 50 {
		remove, err := c.Subscribe(within(t, patience), on("+", count))
		if err != nil {
			t.Fatal(err)
		}
		if err := remove(within(t, patience)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool { return handled.Load() > 0 })
	close(stop)
	<-done
}

func TestSubscribeAtRunTime(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t, mqtttest.WithACL("topic readwrite ok/#", "topic deny secret/#"))
	c := running(t, client(t, b.URL()))
	var got seen
	s := on("ok/1", func(_ context.Context, d *Delivery) error {
		got.add("%s %v", d.Payload, d.Subscription().Filter)
		return nil
	})
	remove, err := c.Subscribe(within(t, patience), s)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Subscribe(within(t, patience), s); reasonOf(err) != event.ReasonBadRequest {
		t.Errorf("registered twice: %v", err)
	}
	second := on("ok/1", s.Handler)
	removeSecond, err := c.Subscribe(within(t, patience), second)
	if err != nil {
		t.Fatal(err)
	}
	publish(t, c, "ok/1", 1, "x")
	got.wait(t, 2)
	for _, f := range []func(context.Context) error{remove, remove, removeSecond} {
		if err := f(within(t, patience)); err != nil {
			t.Error(err)
		}
	}
	publish(t, c, "ok/1", 1, "y")
	publish(t, c, "ok/2", 1, "y")
	if n := len(got.all()); n != 2 {
		t.Errorf("%d handled", n)
	}
	for _, bad := range []*Subscription{
		{Filter: "ok"}, {Filter: "ok", Handler: s.Handler, QoS: 3}, {Filter: "a/#/b", Handler: s.Handler}, {Filter: "ok", Handler: s.Handler, Concurrency: -1},
	} {
		if _, err := c.Subscribe(within(t, patience), bad); reasonOf(err) == "" {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	if _, err := c.Subscribe(nil, s); reasonOf(err) != event.ReasonBadRequest { //nolint:staticcheck // what a caller may do
		t.Error(err)
	}
}

// A refused filter leaves nothing registered, and other filters are not affected.
func TestRefusedAtRunTime(t *testing.T) {
	t.Parallel()
	refuse := refusing(t, "no")
	h := func(context.Context, *Delivery) error { return nil }
	c := running(t, client(t, refuse), on("yes", h))
	if _, err := c.Subscribe(within(t, patience), on("no", h)); reasonOf(err) != event.ReasonRefused || !strings.Contains(err.Error(), `"no"`) {
		t.Errorf("%v", err)
	}
	if n := c.router.Len(); n != 1 {
		t.Errorf("%d registered", n)
	}
	if err := c.WaitReady(within(t, patience)); err != nil {
		t.Error(err)
	}
	// Start returns an error, too, and leaves nothing running.
	c = client(t, refuse, func(c *Config) { c.ClientID = "another" })
	if _, err := c.Subscribe(t.Context(), on("no", h)); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(within(t, patience)); reasonOf(err) != event.ReasonRefused {
		t.Errorf("%v", err)
	}
	if c.Running() {
		t.Error("running")
	}
}

// raise keeps the highest value seen.
func raise(most *atomic.Int64, n int64) {
	for old := most.Load(); n > old; old = most.Load() {
		if most.CompareAndSwap(old, n) {
			return
		}
	}
}
