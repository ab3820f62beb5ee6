package mqtt_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// parkSpy records parked messages.
type parkSpy chan event.ParkInfo

func (s parkSpy) OnPark(i event.ParkInfo) { s <- i }

// A store that is set by an option keeps failed messages, parked or as dead letters,
// depending on the options and the error. A dead letter can be replayed.
func TestDeadLetterStore(t *testing.T) {
	t.Parallel()
	store, parked := deadletter.NewMemory(0), make(parkSpy, 1)
	b := connected(t, mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithClientId("store"),
		mqttbroker.WithDeadLetters(store), mqttbroker.WithHooks(parked), mqttbroker.WithParkLimit(time.Hour))
	handled, fail := make(chan string, 10), make(chan bool, 10)
	_, err := b.Subscribe("in/+", func(_ context.Context, e broker.Event) error {
		switch {
		case e.Topic() == "in/bad" && len(fail) == 0:
			return event.Permanent(errors.New("never"))
		case e.Topic() == "in/later" && len(fail) == 0:
			return errors.New("not yet")
		}
		handled <- e.Topic() + " " + e.Message().ID + " " + e.Message().Headers["k"]
		return nil
	}, nil, broker.WithSubscribeRetry(1, time.Millisecond), mqttbroker.WithSubscribeMaxBackoff(5*time.Millisecond),
		mqttbroker.WithSubscribeRetryBudget(time.Second),
		mqttbroker.WithSubscribeExhausted(event.ExhaustedPark), mqttbroker.WithSubscribeParkMaxAttempts(0))
	if err != nil {
		t.Fatal(err)
	}
	publish(t, b, "in/bad", "x", mqttbroker.WithCallOptions(event.Header("k", "v"), event.Header("id", "event-1")))
	mqtttest.Eventually(t, patience, func() bool { return stats(t, store).Dead == 1 })
	publish(t, b, "in/later", "x")
	if i := receive(t, parked); i.Topic != "in/later" || i.Key != "in/later" || i.ID == "" || i.Err == nil || i.Attempt != 2 {
		t.Errorf("%+v", i)
	}
	if h := b.Health(); h.Parked != 1 || h.ParkedKeys != 1 || h.DeadLettersBlocked {
		t.Errorf("%+v", h)
	}
	found, err := b.DeadLetters()
	if err != nil || found != deadletter.Store(store) {
		t.Errorf("%v %v", found, err)
	}
	list, _ := store.List(t.Context(), deadletter.Query{State: deadletter.Dead})
	if l := list[0]; l.EventID != "event-1" || l.Reason != "never" || l.Attempts != 1 {
		t.Errorf("%+v", l)
	}
	fail <- false // from now on no handler fails
	if got := receive(t, handled); !strings.HasPrefix(got, "in/later ") {
		t.Errorf("%s", got)
	}
	if n, err := b.Replay(within(t, patience)); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	if got := receive(t, handled); got != "in/bad event-1 v" {
		t.Errorf("%s", got)
	}
}

func stats(t *testing.T, s deadletter.Store) deadletter.Stats {
	t.Helper()
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// Invalid options of a subscription are an error of Subscribe.
func TestRetryOptionsAreChecked(t *testing.T) {
	t.Parallel()
	b := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithClientId("checked"))
	for want, opts := range map[string][]broker.SubscribeOption{
		`exhausted "later" is not known`:            {mqttbroker.WithSubscribeExhausted("later")},
		`"R": is not known`:                         {mqttbroker.WithSubscribeReason("R", "x"), mqttbroker.WithSubscribeReason("R2", event.VerdictDrop)},
		"does not park":                             {mqttbroker.WithSubscribeExhausted(event.ExhaustedPark)},
		"-1 attempts at a parked":                   {mqttbroker.WithSubscribeParkMaxAttempts(-1)},
		"negative duration":                         {mqttbroker.WithSubscribeRetryBudget(-1)},
		`"later" is not known, want park, dead_let`: {mqttbroker.WithSubscribeExhausted("later"), mqttbroker.WithSubscribeReason("", event.VerdictDrop)},
	} {
		_, err := b.Subscribe("a", func(context.Context, broker.Event) error { return nil }, nil, opts...)
		wantReason(t, err, event.ReasonBadRequest, 400)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}

// The configuration identifies subscriptions by filter and takes precedence over
// options in code. An entry that matches no subscription is reported.
func TestRetryFromConfiguration(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	config := &v1.Subscriber{
		Retry: &v1.Retry{MinBackoff: durationpb.New(time.Millisecond), MaxBackoff: durationpb.New(2 * time.Millisecond)},
		Subscriptions: map[string]*v1.Subscription{
			"a":     {Retry: &v1.Retry{MaxAttempts: 3}, Exhausted: "drop"},
			"other": {},
		},
	}
	b, out := logged(t, url, mqttbroker.WithSubscriberConfig(config))
	attempts := make(chan int, 10)
	if _, err := b.Subscribe("a", func(context.Context, broker.Event) error {
		attempts <- 1
		return errors.New("bad")
	}, nil, broker.WithSubscribeRetry(7, time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "x")
	mqtttest.Eventually(t, patience, func() bool { return b.Health().DroppedByPolicy == 1 })
	if len(attempts) != 3 {
		t.Errorf("%d attempts", len(attempts))
	}
	if out.count("matches no subscription: want a topic filter or an operation kratosmqtt.names=other") != 1 || out.count("matches no subscription") != 1 {
		t.Errorf("%s", out)
	}
	config.Subscriptions["a"].Exhausted = "?"
	bad := mqttbroker.NewBroker(broker.WithAddress("mqtt://h:1"), mqttbroker.WithSubscriberConfig(config))
	if err := bad.Init(); err == nil || !strings.Contains(err.Error(), `subscriber.subscriptions.a.exhausted`) {
		t.Error(err)
	}
}
