package mqtt_test

import (
	"fmt"
	"testing"
	"time"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// longGrace is longer than any wait of a test.
var longGrace = mqttserver.WithBrokerOptions(mqttbroker.WithUnmatched(time.Minute, event.UnmatchedDeadLetter))

// backlog publishes n messages to each of the topics, in turn.
func backlog(t *testing.T, b mqtttest.Broker, n int, topics ...string) {
	t.Helper()
	source, _ := server(t, b.URL())
	start(t, source)
	for range n {
		for _, topic := range topics {
			publish(t, source, topic)
		}
	}
}

// A filter that a new version no longer registers has a backlog larger than the
// broker's window, mixed with messages of other filters. A message for which no handler
// will come becomes a dead letter at once, so that it does not delay the others for the
// grace.
func TestBacklogOfAGoneFilterHoldsUpNobody(t *testing.T) {
	t.Parallel()
	const n = 90
	for name, named := range map[string]bool{"remembered": false, "named": true} {
		for _, protocol := range []string{"3.1.1", "5"} {
			t.Run(name+" "+protocol, func(t *testing.T) {
				t.Parallel()
				b := mqtttest.Mosquitto(t)
				opts := func(store deadletter.Store) []mqttserver.ServerOption {
					return []mqttserver.ServerOption{
						mqttserver.WithClientId("service"), longGrace, mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(store),
							mqttbroker.WithProtocol(protocol)),
					}
				}
				store, got := deadletter.NewMemory(0), make(chan string, 2*n)
				first, _ := server(t, b.URL(), opts(store)...)
				register(t, first, "a", into(got))
				register(t, first, "old/+", into(got))
				start(t, first)
				if err := first.Stop(within(t, patience)); err != nil {
					t.Fatal(err)
				}
				backlog(t, b, n, "old/1", "a")
				second := opts(store)
				if named {
					store = deadletter.NewMemory(0)
					second = append(opts(store), mqttserver.WithBrokerOptions(mqttbroker.WithPreviousFilters("old/+")))
				}
				srv, out := server(t, b.URL(), second...)
				register(t, srv, "a", into(got))
				start(t, srv)
				for range n {
					if topic := receive(t, got); topic != "a" {
						t.Errorf("got %q", topic)
					}
				}
				mqtttest.Eventually(t, patience, func() error {
					if st, err := store.Stats(t.Context()); err != nil || st.Dead != n {
						return fmt.Errorf("%+v, %w; want %d dead letters", st, err, n)
					}
					return nil
				})
				if h := srv.Health(); h.UnmatchedKept != 0 || h.Unmatched != 0 {
					t.Errorf("%+v", h)
				}
				if told := out.count("earlier version of the service"); told != 1 {
					t.Errorf("told %d times", told)
				}
			})
		}
	}
}

// A filter that is registered after Start is also waited for in the next process, even
// if there was a Stop and a Start after the registration.
func TestFilterRegisteredAfterStartIsWaitedFor(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b, store, got := mqtttest.InProcess(t), deadletter.NewMemory(0), make(chan string, 10)
			process := func() *mqttserver.Server {
				srv, _ := server(t, b.URL(), mqttserver.WithClientId("service"), longGrace, mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(store),
					mqttbroker.WithProtocol(protocol)))
				register(t, srv, "early", into(got))
				start(t, srv)
				return srv
			}
			first := process()
			register(t, first, "late/+", into(got))
			for range 2 {
				if err := first.Stop(within(t, patience)); err != nil {
					t.Fatal(err)
				}
				start(t, first)
			}
			if err := first.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			backlog(t, b, 5, "late/1")
			second := process()
			mqtttest.Eventually(t, patience, func() bool { return second.Health().UnmatchedKept == 5 })
			register(t, second, "late/+", into(got))
			for range 5 {
				if topic := receive(t, got); topic != "late/1" {
					t.Errorf("got %q", topic)
				}
			}
			if h := second.Health(); h.Unmatched != 0 || h.UnmatchedLetters != 0 {
				t.Errorf("%+v", h)
			}
		})
	}
}
