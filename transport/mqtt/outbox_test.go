package mqtt_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func store(t *testing.T) outbox.Store {
	t.Helper()
	s, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func spoken(protocol string) mqttserver.ServerOption {
	return mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(protocol))
}

func depth(t *testing.T, s outbox.Store) int {
	t.Helper()
	stats, err := s.Stats(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return stats.Depth
}

// Stop sends the messages that handlers publish until the last handler has returned,
// within its time limit.
func TestStopFlushesTheOutbox(t *testing.T) {
	t.Parallel()
	const messages = 20 // what Mosquitto sends ahead
	url := mqtttest.Mosquitto(t).URL()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			s := store(t)
			got := make(chan string, messages)
			other, _ := server(t, url, spoken(protocol))
			register(t, other, "out/"+protocol, into(got))
			start(t, other)

			srv, out := server(t, url, spoken(protocol), mqttserver.WithBrokerOptions(mqttbroker.WithOutbox(s), mqttbroker.WithSubscriberConfig(&v1.Subscriber{Concurrency: 4})))
			entered, leave := make(chan struct{}, messages), make(chan struct{})
			register(t, srv, "in/"+protocol+"/+", func(ctx context.Context, _ string, _ broker.Headers, r *reading) error {
				entered <- struct{}{}
				<-leave
				return srv.Publish(ctx, "out/"+protocol, broker.NewMessage(r))
			})
			start(t, srv)
			for n := range messages {
				publish(t, other, fmt.Sprintf("in/%s/%d", protocol, n))
			}
			receive(t, entered)
			mqtttest.Eventually(t, patience, func() bool { h := srv.Health(); return h.Queued+h.Running >= messages })
			stopped := make(chan error, 1)
			go func() { stopped <- srv.Stop(within(t, patience)) }()
			close(leave)
			if err := receive(t, stopped); err != nil {
				t.Error(err)
			}
			if n := depth(t, s); n != 0 || out.count("stopped, and left") != 0 {
				t.Errorf("%d left in the outbox", n)
			}
			for range messages {
				receive(t, got)
			}
		})
	}
}

// Messages that are not sent in time are counted in one log line, and are sent after
// the next start.
func TestStopCountsWhatItLeaves(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	s := store(t)
	srv, out := server(t, proxy.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithOutbox(s)), mqttserver.WithClientId("left"))
	got := make(chan string, 10)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	register(t, srv, "slow", func(context.Context, string, broker.Headers, *reading) error {
		entered <- struct{}{}
		<-leave
		return nil
	})
	register(t, srv, "out", into(got))
	start(t, srv)
	publish(t, srv, "slow", mqttbroker.WithCallOptions(event.SkipOutbox()))
	publish(t, srv, "slow", mqttbroker.WithCallOptions(event.SkipOutbox()))
	receive(t, entered)
	mqtttest.Eventually(t, patience, func() bool { h := srv.Health(); return h.Queued+h.Running == 2 && h.InFlight == 0 })
	proxy.Stall(true)
	for range 3 {
		publish(t, srv, "out")
	}
	err := srv.Stop(within(t, 100*time.Millisecond))
	wantReason(t, err, event.ReasonTimeout, 504)
	const want = "stopped, and left: 1 handlers running, 1 messages not handled, 2 messages unacknowledged, for the broker to deliver again, 3 messages in the outbox"
	if n := out.count(want); n != 1 || out.count("stopped, and left") != 1 {
		t.Errorf("logged %d times: %s", n, want)
	}
	close(leave)
	proxy.Stall(false)
	start(t, srv)
	for range 3 {
		receive(t, got)
	}
	mqtttest.Eventually(t, patience, func() bool { return depth(t, s) == 0 })
}

// once is a dedup window that never forgets.
type once struct{ ids chan map[string]bool }

var _ dedup.Window = once{}

func (o once) Once(ctx context.Context, id string, effect func(context.Context) error) (bool, error) {
	ids := <-o.ids
	defer func() { o.ids <- ids }()
	if ids[id] {
		return true, nil
	}
	err := effect(ctx)
	ids[id] = err == nil
	return false, err
}

// A server handles a message with a known id once, with the Transport in the context.
func TestDedup(t *testing.T) {
	t.Parallel()
	w := once{make(chan map[string]bool, 1)}
	w.ids <- map[string]bool{}
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithBrokerOptions(mqttbroker.WithCloudEvents("/s"), mqttbroker.WithDedup(w)))
	got := make(chan string, 10)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		tr, _ := mqttserver.FromContext(ctx)
		got <- tr.ID()
		return nil
	})
	err := mqttserver.RegisterSubscriber(srv, t.Context(), "a", into(got), mqttbroker.WithSubscribeIDField("nothing"))
	wantReason(t, err, event.ReasonBadRequest, 400)
	start(t, srv)
	for _, id := range []string{"1", "1", "2"} {
		publish(t, srv, "a", mqttbroker.WithCallOptions(event.ID(id)))
	}
	for _, want := range []string{"1", "2"} {
		if id := receive(t, got); id != want {
			t.Errorf("handled %s, want %s", id, want)
		}
	}
	if h := srv.Health(); h.Duplicates != 1 {
		t.Errorf("%d duplicates", h.Duplicates)
	}
}
