package client

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// hesitant is a store whose first listing blocks until it is released.
type hesitant struct {
	*deadletter.Memory
	asked, release chan struct{}
}

func (s *hesitant) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	if q.OverAt.IsZero() {
		select {
		case s.asked <- struct{}{}:
			<-s.release
		case <-s.release:
		}
	}
	return s.Memory.List(ctx, q)
}

// A Start that continues after Stop has ended, because its store is slow, does not claim
// the client id, which no later Start could claim then.
func TestStopDuringStartLeavesTheClientID(t *testing.T) {
	t.Parallel()
	store := &hesitant{deadletter.NewMemory(0), make(chan struct{}), make(chan struct{})}
	c := client(t, mqtttest.InProcess(t).URL(), keepIn(store))
	if _, err := c.Subscribe(t.Context(), on("a", ignore)); err != nil {
		t.Fatal(err)
	}
	over := make(chan error, 1)
	go func() { over <- c.Start(within(t, patience)) }()
	<-store.asked
	if err := c.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	close(store.release)
	<-over
	if err := c.Start(within(t, patience)); err != nil {
		t.Fatal(err)
	}
}

// Without a subscription only messages that look like a reply to this client are dropped;
// messages on other topics below reply/ are kept.
func TestTopicsBelowReplyAreKept(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	reply := request.FormerInboxOf(idOf(t)) + uuid.NewString()
	c := running(t, client(t, b.URL()), on("reply/#", ignore))
	if err := c.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	source := running(t, client(t, b.URL(), func(c *Config) { c.ClientID = "source" }))
	topics := []string{"reply/orders", request.FormerInboxOf(idOf(t)) + "1", request.FormerInboxOf("other") + uuid.NewString()}
	for _, topic := range append(topics, reply) {
		publish(t, source, topic, 1, topic)
	}
	c = running(t, client(t, b.URL(), keepIn(deadletter.NewMemory(0))), on("other", ignore))
	eventually(t, func() bool { h := c.Health(); return h.UnmatchedKept == len(topics) && h.Unmatched == 1 })
	var got seen
	s := on("reply/#", func(_ context.Context, d *Delivery) error { got.add("%s", d.Payload); return nil })
	if _, err := c.Subscribe(within(t, patience), s); err != nil {
		t.Fatal(err)
	}
	got.wait(t, len(topics))
}

// A letter is larger than its message, on MQTT 3.1.1 by a third, and can be read back
// nevertheless.
func TestLargestRetainedLetter(t *testing.T) {
	t.Parallel()
	eachVersion(t, func(t *testing.T, version option) {
		b := mqtttest.InProcess(t)
		s := on("work", func(context.Context, *Delivery) error { return errors.New("bad") })
		s.MaxAttempts = 1
		c := running(t, client(t, b.URL(), version, func(c *Config) { c.MaxPayload, c.MaxInbound = 1<<20, 1<<20 }), s)
		const size = 1<<20 - 100
		publish(t, c, "work", 1, strings.Repeat("x", size))
		eventually(t, func() bool { return len(b.Retained()) == 1 && c.Health().Running == 0 })
		list, err := c.DeadLetters().List(within(t, patience), deadletter.Query{})
		if err != nil || len(list) != 1 || len(list[0].Payload) != size {
			t.Fatalf("%d letters of %v, %v", len(list), b.Retained(), err)
		}
		if l, err := c.DeadLetters().Get(within(t, patience), list[0].ID); err != nil || len(l.Payload) != size {
			t.Error(err)
		}
		over := list[0]
		over.ID, over.Payload = numbered(1), make([]byte, 4*session.DefaultMaxPacketSize)
		if err := c.DeadLetters().Put(within(t, patience), over); !errors.Is(err, deadletter.ErrUnfit) {
			t.Errorf("a letter that could not be read back: %v", err)
		}
	})
}

// Subscriptions with batches leave nothing behind when they are removed.
func TestBatchersEndWithTheirSubscriptions(t *testing.T) {
	t.Parallel()
	c := running(t, client(t, mqtttest.InProcess(t).URL()), on("other", ignore))
	for range 3 {
		s := on("work", ignore)
		done := make(chan int, 1)
		s.Batch = &Batch{MaxSize: 10, MaxWait: time.Hour, Handler: func(_ context.Context, ds []*Delivery, _ []error) error {
			done <- len(ds)
			return nil
		}}
		remove, err := c.Subscribe(within(t, patience), s)
		if err != nil {
			t.Fatal(err)
		}
		publish(t, c, "work", 1, "1")
		eventually(t, func() bool { return c.Health().Queued == 1 })
		if err := remove(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if n := <-done; n != 1 {
			t.Errorf("a batch of %d", n)
		}
	}
	if n := len(c.current().sub.batchers.all); n != 0 {
		t.Errorf("%d are left", n)
	}
}
