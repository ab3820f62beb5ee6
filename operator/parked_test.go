package operator_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

const patience = time.Minute

// parking is a broker whose handler fails for the messages "bad", of which the first of each topic
// is parked for an hour.
func parking(t *testing.T, handled chan<- string) (o *operator.Operator, publish func(topic, text string)) {
	t.Helper()
	store := deadletter.NewMemory(0)
	b := mqttbroker.NewBroker(
		broker.WithAddress(mqtttest.InProcess(t).URL()), mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("parking"),
		mqttbroker.WithDeadLetters(store), mqttbroker.WithParkLimit(100*time.Hour),
	)
	if err := errors.Join(b.Init(), b.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	var mu sync.Mutex
	tried := make(map[string]bool)
	_, err := b.Subscribe("in/+", func(_ context.Context, e broker.Event) error {
		body, _ := e.Message().Body.([]byte)
		what := strings.Trim(string(body), `"`) // JSON
		text := e.Topic() + " " + what
		mu.Lock()
		defer mu.Unlock()
		if what == "bad" || what == "once" && !tried[text] {
			tried[text] = true
			return errors.New("not yet")
		}
		handled <- text
		return nil
	}, nil, broker.WithSubscribeRetry(1, time.Hour), mqttbroker.WithSubscribeMaxBackoff(time.Hour), mqttbroker.WithSubscribeRetryBudget(time.Millisecond),
		mqttbroker.WithSubscribeExhausted(event.ExhaustedPark), mqttbroker.WithSubscribeParkMaxAttempts(0))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	return operator.New(operator.Options{Source: b, Parked: b}), func(topic, text string) {
		t.Helper()
		n++
		if err := b.Publish(t.Context(), topic, broker.NewMessage(text)); err != nil {
			t.Fatal(err)
		}
		mqtttest.Eventually(t, patience, func() bool {
			stats, err := store.Stats(t.Context())
			return err == nil && stats.Parked == n
		})
	}
}

func receive(t *testing.T, from <-chan string) string {
	t.Helper()
	select {
	case text := <-from:
		return text
	case <-time.After(patience):
		t.Fatal("nothing was handled")
		return ""
	}
}

// A parked message is handled at once when it is asked for, and then those behind it; one behind it
// cannot be asked for.
func TestRetryParked(t *testing.T) {
	t.Parallel()
	handled := make(chan string, 10)
	o, publish := parking(t, handled)
	publish("in/a", "once")
	publish("in/a", "behind")
	page, err := o.List(t.Context(), operator.Query{State: deadletter.Parked})
	if err != nil || len(page.Letters) != 2 {
		t.Fatalf("%+v, %v", page, err)
	}
	if out, err := o.Replay(t.Context(), operator.Bulk{IDs: ids(page.Letters)}); err != nil || out.Failed != 2 || !errors.Is(out.Problems[0].Err, deadletter.ErrParked) {
		t.Errorf("replay of parked ones: %+v, %v", out, err)
	}
	out, err := o.RetryParked(t.Context(), operator.Bulk{IDs: ids(page.Letters)[1:]})
	if err != nil || out.Failed != 1 || !errors.Is(out.Problems[0].Err, operator.ErrNotNext) {
		t.Errorf("the one behind: %+v, %v", out, err)
	}
	if out, err = o.RetryParked(t.Context(), operator.Bulk{IDs: ids(page.Letters)[:1]}); err != nil || out.Done != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if got := []string{receive(t, handled), receive(t, handled)}; !slices.Equal(got, []string{"in/a once", "in/a behind"}) {
		t.Errorf("handled %q", got)
	}
}

// What is deleted or becomes a dead letter makes way for the message behind it.
func TestDeleteAndDeadLetterParked(t *testing.T) {
	t.Parallel()
	handled := make(chan string, 10)
	o, publish := parking(t, handled)
	publish("in/a", "bad")
	publish("in/a", "behind")
	publish("in/b", "bad")
	publish("in/b", "behind")
	first := func(topic string) operator.Bulk {
		page, err := o.List(t.Context(), operator.Query{State: deadletter.Parked, Criteria: operator.Criteria{Topic: topic}})
		if err != nil || len(page.Letters) != 2 {
			t.Fatalf("%+v, %v", page, err)
		}
		return operator.Bulk{IDs: ids(page.Letters)[:1], By: "me"}
	}
	if out, err := o.DeleteParked(t.Context(), first("in/a")); err != nil || out.Done != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if got := receive(t, handled); got != "in/a behind" {
		t.Errorf("handled %q", got)
	}
	dead := first("in/b")
	if out, err := o.DeadLetterParked(t.Context(), dead); err != nil || out.Done != 1 {
		t.Errorf("%+v, %v", out, err)
	}
	if got := receive(t, handled); got != "in/b behind" {
		t.Errorf("handled %q", got)
	}
	page, err := o.List(t.Context(), operator.Query{})
	if err != nil || !slices.Equal(ids(page.Letters), dead.IDs) || page.Letters[0].Reason != "not yet" || page.Letters[0].ErrorType != "*errors.errorString" {
		t.Errorf("dead letters %+v, %v", page, err)
	}
	if out, err := o.DeleteParked(t.Context(), dead); err != nil || out.Failed != 1 || !errors.Is(out.Problems[0].Err, operator.ErrNotParked) {
		t.Errorf("one that is dead: %+v, %v", out, err)
	}
}
