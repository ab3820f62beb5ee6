package mqtt_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// window is a dedup window that never forgets.
type window struct {
	mu   sync.Mutex
	fail error // error of the next call
	ids  map[string]bool
}

type inWindow struct{}

func (w *window) Once(ctx context.Context, id string, effect func(context.Context) error) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.fail; err != nil {
		w.fail = nil
		return false, err
	}
	if w.ids[id] {
		return true, nil
	}
	err := effect(context.WithValue(ctx, inWindow{}, true))
	if w.ids == nil {
		w.ids = make(map[string]bool)
	}
	w.ids[id] = err == nil
	return false, err
}

type duplicateSpy chan event.DuplicateInfo

func (s duplicateSpy) OnDuplicate(i event.DuplicateInfo) { s <- i }

// Each handler handles a message once, in whatever format the id arrives.
func TestDuplicatesAreSuppressed(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	for name, opts := range sequenced() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spy, w := make(duplicateSpy, 10), new(window)
			b := connected(t, url, append(opts, mqttbroker.WithDedup(w), mqttbroker.WithHooks(spy))...)
			topic := "dedup/" + name
			first, second := ids(t, b, topic), ids(t, b, topic)
			other := subscribe(t, b, "dedup/+", broker.DisableAutoAck())
			send := func(id string) {
				t.Helper()
				if err := b.Publish(within(t, patience), topic, broker.NewMessage("x", broker.WithID(id))); err != nil {
					t.Fatal(err)
				}
			}
			for _, id := range []string{"1", "2", "1", "1", "3"} {
				send(id)
				receive(t, other) // acknowledged manually: never suppressed
			}
			for _, got := range []<-chan string{first, second} {
				for _, want := range []string{"1", "2", "3"} {
					if id := receive(t, got); id != want {
						t.Errorf("handled %s, want %s", id, want)
					}
				}
			}
			for range 4 {
				if i := receive(t, spy); i.ID != "1" || i.Topic != topic || i.Filter != topic || i.Attempt != 1 {
					t.Errorf("hook was told %+v", i)
				}
			}
			if h := b.Health(); h.Duplicates != 4 || h.WithoutID != 0 {
				t.Errorf("%d duplicates, %d without id", h.Duplicates, h.WithoutID)
			}
		})
	}
}

// The field of the message is read only if the id is in no other place.
func TestIDFieldOfTheMessage(t *testing.T) {
	t.Parallel()
	type body struct {
		EventID string `json:"event_id"`
		N       int    `json:"n"`
	}
	b, out := logged(t, mqtttest.InProcess(t).URL(), mqttbroker.WithDedup(new(window)))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	got := make(chan int, 10)
	binder := func() any { return new(body) }
	_, err := b.Subscribe("field", func(ctx context.Context, e broker.Event) error {
		m := e.Message().Body.(*body)
		if inside, _ := ctx.Value(inWindow{}).(bool); inside != (m.EventID != "") {
			t.Errorf("%+v: inside the window: %t", m, inside)
		}
		got <- m.N
		return nil
	}, binder, mqttbroker.WithSubscribeIDField("event_id"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []body{{"a", 1}, {"a", 2}, {"", 3}, {"", 4}, {"b", 5}} {
		publish(t, b, "field", &m)
	}
	for _, want := range []int{1, 3, 4, 5} {
		if n := receive(t, got); n != want {
			t.Errorf("handled %d, want %d", n, want)
		}
	}
	if h := b.Health(); h.Duplicates != 1 || h.WithoutID != 2 || out.count("a message has no id") != 1 {
		t.Errorf("%d duplicates, %d without id", h.Duplicates, h.WithoutID)
	}
	_, err = b.Subscribe("field", func(context.Context, broker.Event) error { return nil }, binder, mqttbroker.WithSubscribeIDField("nothing"))
	wantReason(t, err, event.ReasonBadRequest, 400)
}

// If the window or the handler fails, the message is handled again.
func TestWindowFails(t *testing.T) {
	t.Parallel()
	w := &window{fail: errors.New("no database")}
	b := connected(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithDedup(w))
	got, fail := make(chan string, 10), true
	_, err := b.Subscribe("w", func(_ context.Context, e broker.Event) error {
		got <- e.Message().ID
		if fail {
			fail = false
			return errors.New("no disk")
		}
		return nil
	}, nil, broker.WithSubscribeRetry(10, time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(within(t, patience), "w", broker.NewMessage("x")); err != nil {
		t.Fatal(err)
	}
	if first, again := receive(t, got), receive(t, got); first != again || first == "" {
		t.Errorf("handled %q and %q", first, again)
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().Running == 0 })
	if h := b.Health(); h.Duplicates != 0 {
		t.Errorf("%d duplicates", h.Duplicates)
	}
}
