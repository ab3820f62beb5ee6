package mqtt_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A callback that ends its goroutine, as a failing test assertion does, releases the
// room of its message, and later callbacks run.
func TestCallbackThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	const n = 1000 // more than the room allows
	for name, opts := range map[string][]broker.Option{
		"at once": nil, "outbox": {mqttbroker.WithOutbox(memory(t, 0))},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := publisher(t, mqtttest.InProcess(t).URL(), "5", opts...)
			var called atomic.Int64
			for range n {
				err := p.PublishAsync(within(t, patience), "a", nil, func(error) { called.Add(1); runtime.Goexit() })
				if err != nil {
					t.Fatal(err)
				}
			}
			mqtttest.Eventually(t, patience, func() bool { return called.Load() == n })
		})
	}
}

// exits is a hook that ends its goroutine and counts its calls.
type exits struct{ handled, retried, dead, parked, duplicate, published atomic.Int64 }

func exit(n *atomic.Int64) { n.Add(1); runtime.Goexit() }

func (e *exits) OnHandle(event.HandleInfo)         { exit(&e.handled) }
func (e *exits) OnRetry(event.RetryInfo)           { exit(&e.retried) }
func (e *exits) OnDeadLetter(event.DeadLetterInfo) { exit(&e.dead) }
func (e *exits) OnPark(event.ParkInfo)             { exit(&e.parked) }
func (e *exits) OnDuplicate(event.DuplicateInfo)   { exit(&e.duplicate) }
func (e *exits) OnPublish(event.PublishInfo)       { exit(&e.published) }

// Hooks that end their goroutine are called once for each event, and delay no message.
func TestHooksThatEndTheirGoroutine(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	store, hooks := deadletter.NewMemory(0), new(exits)
	b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("exits"), mqttbroker.WithDeadLetters(store), mqttbroker.WithHooks(hooks),
		mqttbroker.WithDedup(memoryWindow(t)))
	_, err := b.Subscribe("a/+", func(_ context.Context, e broker.Event) error {
		switch e.Topic() {
		case "a/dead":
			return event.Permanent(errors.New("never"))
		case "a/parked":
			return errors.New("not yet")
		}
		return nil
	}, nil, broker.WithSubscribeRetry(1, time.Millisecond), mqttbroker.WithSubscribeExhausted(event.ExhaustedPark),
		mqttbroker.WithSubscribeParkMaxAttempts(0), mqttbroker.WithSubscribeMaxBackoff(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	p := publisher(t, url, "5")
	for _, topic := range []string{"a/fine", "a/dead", "a/fine", "a/parked"} {
		if err := p.Publish(within(t, patience), topic, []byte("x"), event.ID("id")); err != nil {
			t.Fatal(err)
		}
	}
	mqtttest.Eventually(t, patience, func() error {
		if h := b.Health(); h.Queued+h.Running > 0 || h.Parked != 1 || stats(t, store).Dead != 1 {
			return errors.New("some are held up")
		}
		return nil
	})
	for name, n := range map[string]*atomic.Int64{"dead letter": &hooks.dead, "parked": &hooks.parked, "duplicate": &hooks.duplicate} {
		if n.Load() != 1 {
			t.Errorf("%s: %d calls", name, n.Load())
		}
	}
}

// The publisher receives the outcome of the message nevertheless.
func TestPublishHookThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	p := publisher(t, mqtttest.InProcess(t).URL(), "5", mqttbroker.WithHooks(new(exits)))
	pending, err := p.BeginPublish(within(t, patience), "a", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := pending.Wait(within(t, patience)); err != nil {
		t.Error(err)
	}
}

// A message whose ordering key function ends its goroutine is ordered by its topic, and
// the connection stays open.
func TestOrderingKeyThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL())
	got := subscribe(t, b, "a/#", mqttbroker.WithSubscribeOrderingKey(func(m event.Incoming) string {
		if m.Topic() == "a/bad" {
			runtime.Goexit()
		}
		return m.Topic()
	}))
	publish(t, b, "a/bad", "x")
	publish(t, b, "a/good", "x")
	if one, two := receive(t, got).topic, receive(t, got).topic; one == two {
		t.Errorf("%s twice", one)
	}
}

// A watcher receives later changes.
func TestWatcherThatEndsItsGoroutine(t *testing.T) {
	t.Parallel()
	b := open(t, mqtttest.InProcess(t).URL())
	subscribe(t, b, "a")
	var granted atomic.Bool
	defer b.WatchSubscriptions(func(s event.SubscriptionState) {
		granted.Store(s.Granted)
		runtime.Goexit()
	})()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, granted.Load)
}

// The next attempt requests the login again.
func TestCredentialsThatEndTheirGoroutine(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	p := publisher(t, mqtttest.InProcess(t).URL(), "5", mqttbroker.WithCredentials(func(context.Context) (string, string, error) {
		if asked.Add(1) == 1 {
			runtime.Goexit()
		}
		return "", "", nil
	}))
	if err := p.Publish(within(t, patience), "a", nil); err != nil {
		t.Error(err)
	}
}
