package mqtt_test

import (
	"sync"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// publishSpy records the outcomes of publishes.
type publishSpy struct {
	mu   sync.Mutex
	seen []event.PublishInfo
}

func (s *publishSpy) OnPublish(i event.PublishInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, i)
}

func (s *publishSpy) unrouted() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, i := range s.seen {
		if i.Unrouted {
			n++
		}
	}
	return n
}

// If the broker reports that nobody subscribes to a message, that is counted and
// reported, and is not an error. The broker keeps a retained message.
func TestUnroutedIsSeen(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	bothProtocols(t, func(t *testing.T, protocol string) {
		spy := new(publishSpy)
		b, out := logged(t, url, mqttbroker.WithProtocol(protocol), mqttbroker.WithHooks(spy))
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		got := subscribe(t, connected(t, url, mqttbroker.WithProtocol(protocol)), "heard/"+protocol)
		publish(t, b, "heard/"+protocol, "x")
		receive(t, got)
		publish(t, b, "unheard/"+protocol, "x", mqttbroker.WithPublishRetained(true))
		if n := b.Health().Unrouted; n != 0 || spy.unrouted() != 0 {
			t.Fatalf("%d unrouted, hook was told of %d, want 0", n, spy.unrouted())
		}
		publish(t, b, "unheard", "x")
		p := publisher(t, url, protocol, mqttbroker.WithHooks(spy))
		told := make(chan error, 1)
		if err := p.PublishAsync(within(t, patience), "unheard", []byte("x"), func(err error) { told <- err }); err != nil {
			t.Fatal(err)
		}
		if err := receive(t, told); err != nil {
			t.Errorf("asynchronous publish: %v", err)
		}
		want := 0
		if protocol == "5" {
			want = 1
		}
		if n := b.Health().Unrouted; n != int64(want) || spy.unrouted() != 2*want {
			t.Errorf("%d unrouted, want %d; hook was told of %d, want %d", n, want, spy.unrouted(), 2*want)
		}
		publish(t, b, "unheard", "x")
		mqtttest.Eventually(t, patience, func() bool { return out.count("and dropped it messaging.destination.name=unheard") == want })
	})
}

// Brokers that route a QoS 2 message on arrival report it in PUBREC.
func TestUnroutedOfQoS2IsSeen(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	b := connected(t, url, mqttbroker.WithProtocol("5"))
	publish(t, b, "unheard", "x", mqttbroker.WithPublishQos(2))
	if n := b.Health().Unrouted; n != 1 {
		t.Errorf("%d unrouted, want 1", n)
	}
}

// A node of gmqtt reports that nobody subscribes although a subscriber is on another node: with
// its preset the report is ignored, and an outbox does not send the message again and again.
func TestUnroutedOfOneNodeIsIgnored(t *testing.T) {
	t.Parallel()
	for preset, counted := range map[string]int64{"": 1, "gmqtt": 0} {
		b := connected(t, mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithPreset(preset))
		publish(t, b, "elsewhere", "x")
		publish(t, b, "elsewhere", "x", mqttbroker.WithPublishQos(2))
		if n := b.Health().Unrouted; n != 2*counted {
			t.Errorf("preset %q: %d unrouted, want %d", preset, n, 2*counted)
		}
	}
}
