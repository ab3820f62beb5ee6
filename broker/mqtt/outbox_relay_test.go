package mqtt_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A message that the broker refuses for longer than the limit is put aside, and others
// are sent.
func TestOutboxQuarantine(t *testing.T) {
	t.Parallel()
	const tooLarge = 0x95
	url, got := publishFails(t, tooLarge)
	spy, store := new(outboxSpy), memory(t, 0)
	b, out := logged(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store, mqttbroker.OutboxRefusedLimit(0, 1)), mqttbroker.WithHooks(spy))
	if err := b.Publish(t.Context(), "a", broker.NewMessage("first", broker.WithID("7"))); err != nil {
		t.Fatal(err)
	}
	publish(t, b, "a", "second")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, got)
	if m := receive(t, got); !strings.Contains(m, "second") {
		t.Errorf("got %q", m)
	}
	wantDepth(t, store, 0)
	i := spy.want(t, event.OutboxQuarantined, 1)[0]
	if i.Kind != event.OutboxQuarantined || i.ID != "7" || i.Topic != "a" || i.Health.Quarantined != 1 || i.Err == nil {
		t.Errorf("hook was told %+v", i)
	}
	if out.count("quarantined") != 1 || b.Health().Outbox.Quarantined != 1 {
		t.Error("not in log and health")
	}
}

// After a temporary refusal the message is sent again, with the same id.
func TestOutboxTriesAgain(t *testing.T) {
	t.Parallel()
	url, got := publishFails(t, 0x97, 0x87, 0x80)
	store := memory(t, 0)
	b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store))
	publish(t, b, "a", "x")
	first := receive(t, got)
	for range 3 {
		if again := receive(t, got); again != first {
			t.Errorf("first %q, then %q", first, again)
		}
	}
	wantDepth(t, store, 0)
	if len(first) < 40 {
		t.Errorf("no id in %q", first)
	}
}

// Messages that a broker acknowledged, but lost before it saved them, are sent again.
func TestOutboxHold(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	bothProtocols(t, func(t *testing.T, protocol string) {
		topic := "hold/" + protocol
		got := subscribe(t, connected(t, url, mqttbroker.WithProtocol(protocol)), topic)
		proxy, store := mqtttest.NewProxy(t, url), memory(t, 0)
		b := connected(t, proxy.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithOutbox(store, mqttbroker.OutboxKeepAcknowledged(time.Hour)))
		publish(t, b, topic, "x")
		receive(t, got)
		proxy.Cut()
		receive(t, got)
		if n := depth(t, store); n != 1 {
			t.Errorf("%d in the outbox, want the one that is held", n)
		}
		started := time.Now()
		if err := b.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(started); took > patience/2 {
			t.Errorf("stopped after %v", took)
		}
	})
}

func TestOutboxHighAndLow(t *testing.T) {
	t.Parallel()
	spy, store := new(outboxSpy), memory(t, 10)
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	proxy.Refuse(true)
	b, out := logged(t, proxy.URL(), mqttbroker.WithOutbox(store, mqttbroker.OutboxPollInterval(10*time.Millisecond)), mqttbroker.WithHooks(spy))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	for range 9 {
		publish(t, b, "a", "x")
	}
	mqtttest.Eventually(t, patience, func() bool { return slices.Equal(spy.kinds(), []event.OutboxKind{event.OutboxHigh}) })
	proxy.Refuse(false)
	mqtttest.Eventually(t, patience, func() bool {
		return slices.Equal(spy.kinds(), []event.OutboxKind{event.OutboxHigh, event.OutboxLow})
	})
	if out.count("the outbox is filling up") != 1 {
		t.Error("not logged")
	}
}

// The numbers of messages are assigned when they leave the outbox: they have no gaps,
// however often a message is sent.
func TestOutboxWithSequence(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	for name, opts := range sequenced() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spy, topic := new(gapSpy), "outseq/"+name
			s := connected(t, url, append(opts, mqttbroker.WithHooks(spy))...)
			got := make(chan string, 1000)
			if _, err := s.Subscribe(topic, func(_ context.Context, e broker.Event) error {
				got <- e.Message().Headers["sequence"]
				return nil
			}, nil); err != nil {
				t.Fatal(err)
			}
			proxy, store := mqtttest.NewProxy(t, url), memory(t, 0)
			b := connected(t, proxy.URL(), append(opts, mqttbroker.WithSequence(true), mqttbroker.WithOutbox(store, mqttbroker.OutboxKeepAcknowledged(200*time.Millisecond)))...)
			const n = 100
			for i := range n {
				publish(t, b, topic, "x")
				if i%30 == 20 {
					proxy.Cut()
				}
			}
			wantDepth(t, store, 0)
			for last := ""; last != fmt.Sprintf("%020d", n); {
				last = receive(t, got)
			}
			if m := s.Health().Missing; m != 0 {
				t.Errorf("missing %d, gaps %+v", m, spy.gaps())
			}
		})
	}
}
