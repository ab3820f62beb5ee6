package mqtt_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestSubscribeOptionsOnTheWire(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
	sent := observe(proxy, mqtttest.TypeSubscribe)
	b := connected(t, proxy.URL(), mqttbroker.WithProtocol("5"))
	noLocal, never := mqttbroker.WithSubscribeNoLocal(), mqttbroker.WithSubscribeRetainHandling(2)
	steps := []struct {
		opts []broker.SubscribeOption
		want byte // QoS, no-local, retain handling
	}{
		{[]broker.SubscribeOption{noLocal, never}, 1 | 1<<2 | 2<<4},
		{[]broker.SubscribeOption{mqttbroker.WithSubscribeRetainHandling(1)}, 1 | 1<<4}, // an option of one of two subscriptions with this filter applies to both
		{[]broker.SubscribeOption{mqttbroker.WithSubscribeQos(2)}, 2},
	}
	for i, s := range steps {
		subscribe(t, b, "a", s.opts...)
		if body := receive(t, sent); body[len(body)-1] != s.want {
			t.Errorf("step %d: options %06b, want %06b", i, body[len(body)-1], s.want)
		}
	}
}

func TestSubscribeRetainHandling(t *testing.T) {
	t.Parallel()
	b := mqtt5(t)
	publish(t, b, "kept", "x", mqttbroker.WithPublishRetained(true))
	got := subscribe(t, b, "kept", mqttbroker.WithSubscribeRetainHandling(2))
	publish(t, b, "kept", "y")
	if m := receive(t, got); m.body != `"y"` {
		t.Errorf("got %s", m.body)
	}
}

func TestSubscribeOptionsAreChecked(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	handler := func(context.Context, broker.Event) error { return nil }
	group := broker.WithSubscribeQueueName
	tests := map[string]struct {
		preset string
		opts   []broker.SubscribeOption
		reason event.Reason
		code   int
	}{
		"no-local and shared":     {"", []broker.SubscribeOption{group("g"), mqttbroker.WithSubscribeNoLocal()}, event.ReasonBadRequest, 400},
		"retain handling 3":       {"", []broker.SubscribeOption{mqttbroker.WithSubscribeRetainHandling(3)}, event.ReasonBadRequest, 400},
		"group with a slash":      {"", []broker.SubscribeOption{group("a/b")}, event.ReasonBadTopic, 400},
		"group with a wildcard":   {"", []broker.SubscribeOption{group("a+")}, event.ReasonBadTopic, 400},
		"broker without sharing":  {"rabbitmq", []broker.SubscribeOption{group("g")}, event.ReasonUnsupported, 501},
		"another without sharing": {"nats", []broker.SubscribeOption{group("g")}, event.ReasonUnsupported, 501},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			b := open(t, url, mqttbroker.WithPreset(tt.preset))
			_, err := b.Subscribe("a", handler, nil, tt.opts...)
			wantReason(t, err, tt.reason, tt.code)
		})
	}
}

func TestOptionsWithoutEffectOnMQTT311(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("3.1.1"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	subscribe(t, b, "a", mqttbroker.WithSubscribeNoLocal())
	subscribe(t, b, "b", mqttbroker.WithSubscribeRetainHandling(1))
	mqtttest.Eventually(t, patience, func() bool { return out.count("no effect on MQTT 3.1.1") == 2 })
}

// Messages with the same key are handled one after another and in order, whatever their
// topics. Messages with other keys are handled at the same time.
func TestOrderingKey(t *testing.T) {
	t.Parallel()
	b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("3.1.1"))
	var running, most atomic.Int32
	got := make(chan string, 100)
	handler := func(_ context.Context, e broker.Event) error {
		most.Store(max(most.Load(), running.Add(1)))
		defer running.Add(-1)
		got <- string(e.Message().Body.([]byte))
		return nil
	}
	byPayload := mqttbroker.WithSubscribeOrderingKey(func(m event.Incoming) string { return string(m.Payload()[:2]) + m.Header("none") })
	if _, err := b.Subscribe("keys/+", handler, nil, byPayload); err != nil {
		t.Fatal(err)
	}
	for i := range 50 {
		publish(t, b, fmt.Sprintf("keys/%d", i), i+1000) // "10"
	}
	for i := range 50 {
		if v := receive(t, got); v != fmt.Sprint(i+1000) {
			t.Fatalf("got %s at place %d", v, i)
		}
	}
	if n := most.Load(); n != 1 {
		t.Errorf("%d at once", n)
	}
}

// Without an order, messages of one topic are handled concurrently. If the key function
// panics, the message is ordered by its topic.
func TestNoOrder(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("3.1.1"))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	second := make(chan struct{})
	meet := func(ctx context.Context, e broker.Event) error {
		if string(e.Message().Body.([]byte)) == "2" {
			close(second)
			return nil
		}
		select {
		case <-second:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	unordered := mqttbroker.WithSubscribeOrderingKey(func(_ event.Incoming) string { return "" })
	if _, err := b.Subscribe("a", meet, nil, unordered, mqttbroker.WithSubscribeTimeout(patience)); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", 1)
	publish(t, b, "a", 2)
	receive(t, second)

	panics := mqttbroker.WithSubscribeOrderingKey(func(m event.Incoming) string { panic(m.Topic()) })
	got := subscribe(t, b, "b", panics)
	publish(t, b, "b", 1)
	receive(t, got)
	if out.count("a hook panicked exception.message=b") != 1 {
		t.Errorf("log:\n%s", out)
	}
}

// The acknowledgement of the second message does not wait for the first one.
func TestRelaxedAcks(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.1.1", "5"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			proxy := mqtttest.NewProxy(t, mqtttest.Mosquitto(t).URL())
			b := connected(t, proxy.URL(), mqttbroker.WithProtocol(version), mqttbroker.WithRelaxedAcks(true))
			held, second := make(chan broker.Event, 1), make(chan struct{}, 1)
			handler := func(_ context.Context, e broker.Event) error {
				if e.Topic() == "acks/held" {
					held <- e
					return nil
				}
				_ = e.Ack()
				second <- struct{}{}
				return nil
			}
			if _, err := b.Subscribe("acks/+", handler, nil, broker.DisableAutoAck()); err != nil {
				t.Fatal(err)
			}
			acks := observe(proxy, mqtttest.TypePuback)
			publish(t, b, "acks/held", "x")
			first := receive(t, held)
			publish(t, b, "acks/other", "x")
			receive(t, second)
			if version == "3.1.1" {
				receive(t, acks)
				_ = first.Ack()
				receive(t, acks)
				return
			}
			_ = first.Ack()
			if a, b := receive(t, acks), receive(t, acks); a[1] > b[1] {
				t.Errorf("acknowledged %d before %d", a[1], b[1])
			}
		})
	}
}
