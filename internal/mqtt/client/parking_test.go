package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func keepIn(s deadletter.Store) option { return func(c *Config) { c.DeadLetters = s } }

// shaky is a store that fails on demand.
type shaky struct {
	*deadletter.Memory
	mu  sync.Mutex
	err error
}

func (s *shaky) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *shaky) failing() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *shaky) Put(ctx context.Context, l *deadletter.Letter) error {
	if err := s.failing(); err != nil {
		return err
	}
	return s.Memory.Put(ctx, l)
}

func (s *shaky) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	if err := s.failing(); err != nil {
		return nil, err
	}
	return s.Memory.List(ctx, q)
}

// park makes a subscription park its messages, without a bound on the attempts.
func park(s *Subscription) { s.Exhausted, s.ParkMaxAttempts = event.ExhaustedPark, -1 }

func statsOf(t testing.TB, s deadletter.Store) deadletter.Stats {
	t.Helper()
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	st.Bytes = 0
	return st
}

// A message that keeps failing is parked and acknowledged. Later messages of its topic wait
// for it in the store; other topics are not affected.
func TestParkedMessageHoldsItsKey(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	p := mqtttest.NewProxy(t, b.URL())
	store := deadletter.NewMemory(0)
	var (
		got  seen
		told seen
		down atomic.Bool
	)
	down.Store(true)
	s := on("work/+", func(_ context.Context, d *Delivery) error {
		if down.Load() && d.Topic == "work/bad" {
			return errors.New("down\nfor now")
		}
		got.add("%s %s", d.Topic, d.Payload)
		return nil
	})
	s.MaxAttempts, s.Backoff, s.MaxBackoff = 2, time.Millisecond, 10*time.Millisecond
	park(s)
	s.EventID = func(d *Delivery) string { return "event " + string(d.Payload) }
	c := running(t, client(t, p.URL(), keepIn(store), func(c *Config) {
		c.Hooks.Parked = func(i event.ParkInfo) {
			told.add("%t %s %d %v", i.ID != "", i.Key, i.Attempt, i.Err != nil)
		}
	}), s)
	publish(t, c, "work/bad", 1, "1", "2", "3")
	publish(t, c, "work/good", 1, "x")
	got.wait(t, 1)
	eventually(t, func() bool { return acks(p) == 4 })
	list, err := store.List(t.Context(), deadletter.Query{State: deadletter.Parked, Owner: idOf(t), Filter: "work/+"})
	if err != nil || len(list) != 3 {
		t.Fatalf("%d parked, %v", len(list), err)
	}
	if l := list[0]; l.Key != "work/bad" || l.Reason != `down\nfor now` || l.Attempts != 2 || string(l.Payload) != "1" || l.EventID != "event 1" ||
		l.Service != "shop" || l.Received.IsZero() || l.Time.Before(l.Received) {
		t.Errorf("%+v", l)
	}
	if l := list[2]; l.Reason != "" || l.Attempts != 0 || string(l.Payload) != "3" {
		t.Errorf("%+v", l)
	}
	if h := c.Health(); h.Parked != 3 || h.ParkedKeys != 1 || h.DeadLetterError != nil {
		t.Errorf("%+v", h)
	}
	down.Store(false)
	if all := got.wait(t, 4); !slices.Equal(all[1:], []string{"work/bad 1", "work/bad 2", "work/bad 3"}) {
		t.Errorf("%v", all)
	}
	eventually(t, func() bool { h := c.Health(); return h.Parked == 0 && h.ParkedKeys == 0 })
	if st := statsOf(t, store); st != (deadletter.Stats{}) {
		t.Errorf("left %+v", st)
	}
	publish(t, c, "work/bad", 1, "4")
	got.wait(t, 5)
	if want := []string{"true work/bad 2 true", "true work/bad 0 false", "true work/bad 0 false"}; !slices.Equal(told.all(), want) {
		t.Errorf("%v", told.all())
	}
}

// Messages that one run has parked are handled by the next run, before new messages of
// their key.
func TestParkedMessagesSurviveARestart(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	store := deadletter.NewMemory(0)
	var (
		got seen
		up  atomic.Bool
		log book
	)
	handler := func(name string) Handler {
		return func(_ context.Context, d *Delivery) error {
			if !up.Load() {
				return errors.New("down")
			}
			got.add("%s %s", name, d.Payload)
			return nil
		}
	}
	subs := func() (list []*Subscription) {
		for _, name := range []string{"a", "b"} { // two handlers on one filter
			s := on("work", handler(name))
			s.MaxAttempts, s.MaxBackoff = 1, 50*time.Millisecond
			park(s)
			list = append(list, s)
		}
		return list
	}
	source := running(t, client(t, b.URL(), func(c *Config) { c.ClientID = "source" }))
	first := running(t, client(t, b.URL(), keepIn(store)), subs()...)
	publish(t, source, "work", 1, "1", "2")
	eventually(t, func() bool { return statsOf(t, store).Parked == 4 })
	if err := first.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	if err := store.Put(t.Context(), &deadletter.Letter{ID: "0", State: deadletter.Parked, Owner: idOf(t), Filter: "gone"}); err != nil {
		t.Fatal(err)
	}
	publish(t, source, "work", 1, "3")
	up.Store(true)
	second := running(t, client(t, b.URL(), keepIn(store), logTo(&log)), subs()...)
	var a, z []string
	for _, line := range got.wait(t, 6) {
		if strings.HasPrefix(line, "a ") {
			a = append(a, line[2:])
		} else {
			z = append(z, line[2:])
		}
	}
	if want := []string{"1", "2", "3"}; !slices.Equal(a, want) || !slices.Equal(z, want) {
		t.Errorf("%v %v", a, z)
	}
	eventually(t, func() bool { return second.Health().Parked == 0 })
	if st := statsOf(t, store); st.Parked != 1 || !log.has("WARN", "stay parked", "template gone ") {
		t.Errorf("%+v %v", st, log.all())
	}
}

// A subscription that is added while the client runs receives its parked messages, too;
// removing it ends their attempts.
func TestParkedMessagesOfALateSubscription(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	letter := &deadletter.Letter{ID: "0", State: deadletter.Parked, Owner: idOf(t), Filter: "late", Key: "late", Received: time.Now()}
	letter.Topic, letter.Payload = "late", []byte("1")
	if err := store.Put(t.Context(), letter); err != nil {
		t.Fatal(err)
	}
	c := running(t, client(t, mqtttest.Mosquitto(t).URL(), keepIn(store)), on("other", func(context.Context, *Delivery) error { return nil }))
	var calls atomic.Int64
	s := on("late", func(_ context.Context, d *Delivery) error {
		if !d.Duplicate || d.Attempt() < 1 {
			t.Errorf("%+v", d)
		}
		calls.Add(1)
		return errors.New("bad")
	})
	s.MaxBackoff = 100 * time.Millisecond
	park(s)
	remove, err := c.Subscribe(within(t, patience), s)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return calls.Load() > 1 && c.Health().Parked == 1 })
	if err := remove(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return c.Health().Running == 0 && c.Health().Parked == 0 })
	if st := statsOf(t, store); st.Parked != 1 {
		t.Errorf("%+v", st)
	}
}

// Parking ends with a permanent error, with the limit, and when an operator drops the
// letter.
func TestParkingEnds(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	permanent := errors.New("no such order")
	var calls, told atomic.Int64
	s := on("+", func(_ context.Context, d *Delivery) error {
		if calls.Add(1); d.Topic == "permanent" && d.Attempt() > 2 {
			return permanent
		}
		return errors.New("not now")
	})
	s.MaxAttempts, s.Backoff, s.MaxBackoff = 1, time.Millisecond, 5*time.Millisecond
	park(s)
	s.Classify = func(err error) event.Verdict {
		if errors.Is(err, permanent) {
			return event.VerdictDeadLetter
		}
		return event.VerdictRetry
	}
	s.OnDeadLetter = func(context.Context, *Delivery, error) { told.Add(1) }
	c := running(t, client(t, mqtttest.Mosquitto(t).URL(), keepIn(store), func(c *Config) { c.ParkLimit = 300 * time.Millisecond }), s)
	publish(t, c, "permanent", 1, "x")
	publish(t, c, "limit", 1, "x")
	publish(t, c, "dropped", 1, "x")
	var dropped string
	eventually(t, func() bool {
		list, _ := store.List(t.Context(), deadletter.Query{State: deadletter.Parked})
		for _, l := range list {
			if l.Topic == "dropped" {
				dropped = l.ID
			}
		}
		return dropped != ""
	})
	if _, err := deadletter.Delete(t.Context(), store, dropped); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { return c.Health().Parked == 0 && statsOf(t, store).Dead == 2 })
	list, _ := store.List(t.Context(), deadletter.Query{State: deadletter.Dead})
	for _, l := range list {
		if l.Attempts < 3 || l.Topic == "permanent" && l.Reason != permanent.Error() || l.Topic == "limit" && l.Reason != "not now" {
			t.Errorf("%+v", l)
		}
	}
	if told.Load() != 2 {
		t.Errorf("told %d times", told.Load())
	}
	before := calls.Load()
	publish(t, c, "permanent", 1, "x") // its key is free
	eventually(t, func() bool { return calls.Load() > before })
}

// A message without an order is parked alone: no other message waits for it.
func TestParkedWithoutOrder(t *testing.T) {
	t.Parallel()
	store := deadletter.NewMemory(0)
	var got seen
	var up atomic.Bool
	s := on("work", func(_ context.Context, d *Delivery) error {
		if string(d.Payload) == "bad" && !up.Load() {
			return errors.New("down")
		}
		got.add("%s", d.Payload)
		return nil
	})
	s.MaxAttempts, s.MaxBackoff, s.OrderingKey = 1, 10*time.Millisecond, func(*Inbound) string { return "" }
	s.Backoff = time.Millisecond
	park(s)
	c := running(t, client(t, mqtttest.Mosquitto(t).URL(), keepIn(store)), s)
	publish(t, c, "work", 1, "bad", "good", "bad", "good")
	got.wait(t, 2)
	eventually(t, func() bool { h := c.Health(); return h.Parked == 2 && h.ParkedKeys == 0 })
	up.Store(true)
	got.wait(t, 4)
	eventually(t, func() bool { return statsOf(t, store) == (deadletter.Stats{}) })
}

// While the store fails or is full, a message stays unacknowledged, which is reported, and
// the handler is called again.
func TestStoreFailsOrIsFull(t *testing.T) {
	t.Parallel()
	for name, full := range map[string]bool{"fails": false, "full": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
			store := &shaky{Memory: deadletter.NewMemory(0)}
			store.fail(errors.New("disk on fire"))
			if full {
				store.fail(fmt.Errorf("bound: %w", deadletter.ErrFull))
			}
			var calls atomic.Int64
			var up atomic.Bool
			s := on("work", func(context.Context, *Delivery) error {
				if calls.Add(1); !up.Load() {
					return errors.New("bad")
				}
				return nil
			})
			s.MaxAttempts, s.Backoff, s.MaxBackoff = 1, time.Millisecond, 10*time.Millisecond
			park(s)
			c := client(t, p.URL(), keepIn(store))
			source := running(t, client(t, p.URL(), func(c *Config) { c.ClientID = "source" }))
			store.fail(nil)
			running(t, c, s)
			store.fail(map[bool]error{false: errors.New("disk on fire"), true: deadletter.ErrFull}[full])
			publish(t, source, "work", 1, "x")
			eventually(t, func() bool { return c.Health().DeadLetterError != nil })
			if n := acks(p); n != 0 {
				t.Errorf("%d acknowledged", n)
			}
			up.Store(true)
			eventually(t, func() bool { return acks(p) == 1 })
			if calls.Load() < 2 {
				t.Error("the handler had no other chance")
			}
			store.fail(nil)
			eventually(t, func() bool {
				return c.Health().DeadLetterError == nil && statsOf(t, store) == (deadletter.Stats{}) && c.Health().Parked == 0
			})
		})
	}
}

// No message is handled if the parked messages cannot be read.
func TestStartNeedsTheStore(t *testing.T) {
	t.Parallel()
	store := &shaky{Memory: deadletter.NewMemory(0)}
	store.fail(errors.New("disk on fire"))
	c := client(t, mqtttest.InProcess(t).URL(), keepIn(store))
	if _, err := c.Subscribe(t.Context(), on("work", func(context.Context, *Delivery) error { return nil })); err != nil {
		t.Fatal(err)
	}
	if err := c.Start(within(t, patience)); err == nil || !strings.Contains(err.Error(), "disk on fire") || c.Running() {
		t.Errorf("%v", err)
	}
}

func TestExhausted(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	store := deadletter.NewMemory(0)
	var blocked atomic.Int64
	var log book
	sub := func(filter string, e event.Exhausted) *Subscription {
		s := on(filter, func(_ context.Context, d *Delivery) error {
			if d.Topic == "block" && blocked.Add(1) > 5 {
				return nil
			}
			return errors.New("bad")
		})
		s.MaxAttempts, s.Backoff, s.MaxBackoff, s.Exhausted = 1, time.Millisecond, 5*time.Millisecond, e
		s.ParkMaxAttempts = -1
		return s
	}
	c := running(t, client(t, b.URL(), keepIn(store), logTo(&log)),
		sub("drop", event.ExhaustedDrop), sub("dead", event.ExhaustedDeadLetter), sub("block", event.ExhaustedBlock), sub("park", event.ExhaustedPark))
	for _, topic := range []string{"drop", "dead", "block", "park"} {
		publish(t, c, topic, 1, "x")
	}
	eventually(t, func() bool {
		return c.Health().DroppedByPolicy == 1 && statsOf(t, store) == (deadletter.Stats{Dead: 1, Parked: 1}) && blocked.Load() == 6
	})
	if !log.has("ERROR", "discarded", "name drop ") {
		t.Error(log.all())
	}
	for name, c := range map[string]*Client{
		"does not park": client(t, b.URL()), "client id": client(t, b.URL(), keepIn(store), func(c *Config) { c.ClientID = "" }),
	} {
		if _, err := c.Subscribe(t.Context(), sub("park", event.ExhaustedPark)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	manual := sub("manual", event.ExhaustedPark)
	manual.ManualAck = true
	if _, err := c.Subscribe(t.Context(), manual); err == nil || !strings.Contains(err.Error(), "by hand") {
		t.Error(err)
	}
}
