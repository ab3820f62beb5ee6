package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// eachKeeper runs a test on brokers that keep sessions, on both versions.
func eachKeeper(t *testing.T, test func(t *testing.T, b mqtttest.Broker, protocol string)) {
	t.Helper()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run("in-process "+protocol, func(t *testing.T) {
			t.Parallel()
			test(t, mqtttest.InProcess(t), protocol)
		})
		t.Run("mosquitto "+protocol, func(t *testing.T) {
			t.Parallel()
			test(t, mqtttest.Mosquitto(t), protocol)
		})
	}
}

// leave lets a client subscribe to filters and disconnect. Then it publishes n messages
// on each of the topics, which the client's session keeps.
func leave(t *testing.T, b mqtttest.Broker, id, protocol string, filters []string, n int, topics ...string) {
	t.Helper()
	first := open(t, b.URL(), mqttbroker.WithClientId(id), mqttbroker.WithProtocol(protocol))
	for _, f := range filters {
		subscribe(t, first, f)
	}
	if err := first.Connect(); err != nil {
		t.Fatal(err)
	}
	if err := first.Disconnect(); err != nil {
		t.Fatal(err)
	}
	source := connected(t, b.URL(), mqttbroker.WithProtocol(protocol))
	for i := range n {
		for _, topic := range topics {
			publish(t, source, topic, fmt.Sprintf("%d", i), mqttbroker.WithPublishQos(1))
		}
	}
}

// inOrder checks that n messages arrive in the order in which they were published.
func inOrder(t *testing.T, got <-chan seen, n int) {
	t.Helper()
	for i := range n {
		if m := receive(t, got); m.body != fmt.Sprintf(`"%d"`, i) {
			t.Fatalf("message %d is %s", i, m.body)
		}
	}
}

// kratos-transport connects before it subscribes: the first Subscribe opens the
// session, and the broker then also sends the messages that it kept for the second one.
func TestUnmatchedMessageFindsLateHandler(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		t.Helper()
		leave(t, server, "late", protocol, []string{"a", "b"}, 10, "b")
		b := open(t, server.URL(), mqttbroker.WithClientId("late"), mqttbroker.WithProtocol(protocol))
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		subscribe(t, b, "a")
		// The messages have arrived and wait for a handler.
		mqtttest.Eventually(t, patience, func() bool { return b.Health().UnmatchedKept == 10 })
		inOrder(t, subscribe(t, b, "b"), 10)
		if h := b.Health(); h.Unmatched != 0 || h.UnmatchedKept != 0 || h.UnmatchedLetters != 0 {
			t.Errorf("%+v", h)
		}
	})
}

// A message without a handler in time becomes a dead letter. It can be replayed once
// there is a handler. The messages behind it are handled.
func TestUnmatchedMessageIsADeadLetter(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		t.Helper()
		const n = 30 // more than the broker's window
		leave(t, server, "gone", protocol, []string{"a", "old"}, n, "old", "a")
		store, told := deadletter.NewMemory(0), make(letterSpy, n)
		b := open(t, server.URL(), mqttbroker.WithClientId("gone"), mqttbroker.WithProtocol(protocol), mqttbroker.WithDeadLetters(store),
			mqttbroker.WithUnmatched(200*time.Millisecond, event.UnmatchedDeadLetter), mqttbroker.WithHooks(told))
		got := subscribe(t, b, "a")
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		inOrder(t, got, n)
		ids := make([]string, 0, n)
		for range n {
			i := receive(t, told)
			if i.Filter != "" || i.Topic != "old" || !strings.Contains(i.Err.Error(), "no subscription") {
				t.Errorf("%+v", i)
			}
			ids = append(ids, i.ID)
		}
		mqtttest.Eventually(t, patience, func() bool { return b.Health().UnmatchedLetters == n })
		late := subscribe(t, b, "old")
		if replayed, err := b.Replay(within(t, patience), ids...); err != nil || replayed != n {
			t.Errorf("%d replayed, %v", replayed, err)
		}
		inOrder(t, late, n)
	})
}

// letterSpy records dead letters.
type letterSpy chan event.DeadLetterInfo

func (s letterSpy) OnDeadLetter(i event.DeadLetterInfo) { s <- i }

// Messages are dropped if the policy is to drop them. They are counted and reported.
func TestUnmatchedMessageIsDroppedByPolicy(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	leave(t, server, "policy", "5", []string{"old"}, 5, "old")
	store, spy := deadletter.NewMemory(0), new(dropSpy)
	b := open(t, server.URL(), mqttbroker.WithClientId("policy"), mqttbroker.WithProtocol("5"), mqttbroker.WithDeadLetters(store),
		mqttbroker.WithUnmatched(0, event.UnmatchedDrop), mqttbroker.WithHooks(spy))
	subscribe(t, b, "new")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() bool { return spy.kept.Load() == 5 && spy.dropped.Load() == 5 })
	if h := b.Health(); h.Unmatched != 5 || h.UnmatchedLetters != 0 {
		t.Errorf("%+v", h)
	}
	mqtttest.Eventually(t, patience, func() bool { return pending(server, "policy") == 0 })
	if st, err := store.Stats(t.Context()); err != nil || st.Dead != 0 {
		t.Errorf("%+v, %v", st, err)
	}
}

type dropSpy struct{ kept, dropped atomic.Int64 }

func (s *dropSpy) OnUnhandled(i event.UnhandledInfo) {
	s.kept.Add(int64(i.UnmatchedKept))
	s.dropped.Add(int64(i.Unmatched))
}

// pending returns how many messages of a client the broker has no acknowledgement for.
func pending(b *mqtttest.InProcessBroker, id string) int {
	for _, s := range b.Sessions() {
		if s.ClientID == id {
			return s.Pending
		}
	}
	return 0
}

// Messages that still wait for a handler when the client stops are kept by the broker.
func TestUnmatchedMessageSurvivesAStop(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	leave(t, server, "stop", "3.1.1", []string{"a", "b"}, 5, "b")
	b := open(t, server.URL(), mqttbroker.WithClientId("stop"))
	subscribe(t, b, "a")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() bool { return b.Health().UnmatchedKept == 5 })
	if err := b.Disconnect(); err != nil {
		t.Fatal(err)
	}
	if n := pending(server, "stop"); n != 5 {
		t.Errorf("%d at the broker", n)
	}
	got := subscribe(t, b, "b") // stopped: takes effect at the next start
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	inOrder(t, got, 5)
}

// The connection is cut while messages wait for a handler. The broker delivers them
// again, and each is handled once.
func TestUnmatchedMessageSurvivesACut(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			server := mqtttest.InProcess(t)
			leave(t, server, "cut", protocol, []string{"a", "b"}, 5, "b")
			b := open(t, server.URL(), mqttbroker.WithClientId("cut"), mqttbroker.WithProtocol(protocol))
			subscribe(t, b, "a")
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			mqtttest.Eventually(t, patience, func() bool { return b.Health().UnmatchedKept == 5 })
			server.Cut("cut")
			mqtttest.Eventually(t, patience, func() bool {
				all := server.Sessions()
				i := slices.IndexFunc(all, func(s testbroker.Session) bool { return s.ClientID == "cut" })
				return all[i].Connected && all[i].Inflight == 5
			})
			got := subscribe(t, b, "b")
			inOrder(t, got, 5)
			mqtttest.Eventually(t, patience, func() bool { return pending(server, "cut") == 0 })
			if len(got) > 0 {
				t.Errorf("%d more", len(got))
			}
		})
	}
}

// A queued message has the identifier of the filter that existed when it was published.
// A new filter, or a group, that matches still receives all of them.
func TestChangedFilterKeepsTheBacklog(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, server mqtttest.Broker, protocol string) {
		t.Helper()
		for name, change := range map[string]struct {
			filter string
			opts   []broker.SubscribeOption
		}{"wider": {"devices/#", nil}, "shared": {"devices/+/data", []broker.SubscribeOption{broker.WithSubscribeQueueName("savers")}}} {
			leave(t, server, name, protocol, []string{"devices/+/data"}, 10, "devices/1/data")
			b := open(t, server.URL(), mqttbroker.WithClientId(name), mqttbroker.WithProtocol(protocol))
			got := subscribe(t, b, change.filter, change.opts...)
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			inOrder(t, got, 10)
			if h := b.Health(); h.Unmatched != 0 || h.UnmatchedLetters != 0 {
				t.Errorf("%s: %+v", name, h)
			}
		}
	})
}

// Filters that a new version no longer has are unsubscribed, shared ones as well. They
// are known from a store or from the configuration. Filters that are registered late
// stay, and an option keeps all of them.
func TestVanishedFilterIsUnsubscribed(t *testing.T) {
	t.Parallel()
	const old, shared, kept, late = "old/+", "$share/g/kept", "kept", "late"
	for name, test := range map[string]struct {
		remembers bool
		opts      []broker.Option
		want      []string
	}{
		"remembered": {true, nil, []string{kept, late}},
		"named":      {false, []broker.Option{mqttbroker.WithPreviousFilters(old, shared, kept)}, []string{kept, late}},
		"keep":       {true, []broker.Option{mqttbroker.WithKeepFilters(true)}, []string{shared, kept, late, old}},
		"unknown":    {false, nil, []string{shared, kept, late, old}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server, store := mqtttest.InProcess(t), deadletter.NewMemory(0)
			version := func(opts ...broker.Option) *mqttbroker.Broker {
				opts = append(opts, mqttbroker.WithClientId("v"), mqttbroker.WithUnmatched(300*time.Millisecond, ""))
				if test.remembers {
					opts = append(opts, mqttbroker.WithDeadLetters(store))
				}
				return open(t, server.URL(), opts...)
			}
			first := version()
			subscribe(t, first, old)
			subscribe(t, first, kept, broker.WithSubscribeQueueName("g"))
			subscribe(t, first, kept)
			if err := first.Connect(); err != nil {
				t.Fatal(err)
			}
			subscribe(t, first, late)
			if list, err := store.Filters(t.Context(), "v"); err != nil || test.remembers && !slices.Equal(list, []string{shared, kept, late, old}) {
				t.Errorf("remembered %q, %v", list, err)
			}
			if err := first.Disconnect(); err != nil {
				t.Fatal(err)
			}
			second := version(test.opts...)
			subscribe(t, second, kept)
			if err := second.Connect(); err != nil {
				t.Fatal(err)
			}
			subscribe(t, second, late) // is still registered
			filters := func() []string {
				for _, s := range server.Sessions() {
					if s.ClientID == "v" {
						return s.Filters
					}
				}
				return nil
			}
			if len(test.want) == 4 {
				<-time.After(time.Second) // nothing happens
			}
			mqtttest.Eventually(t, patience, func() error {
				if got := filters(); !slices.Equal(got, test.want) {
					return fmt.Errorf("the broker has %q, want %q", got, test.want)
				}
				return nil
			})
			if test.remembers {
				mqtttest.Eventually(t, patience, func() error {
					if list, err := store.Filters(t.Context(), "v"); err != nil || !slices.Equal(list, test.want) {
						return fmt.Errorf("remembered %q, want %q, %w", list, test.want, err)
					}
					return nil
				})
			}
		})
	}
}

// A filter that is unsubscribed while the client is stopped is unsubscribed at the
// broker at the next start.
func TestUnsubscribedWhileStopped(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	b := open(t, server.URL(), mqttbroker.WithClientId("v"))
	sub, err := b.Subscribe("old", nothing, nil)
	if err != nil {
		t.Fatal(err)
	}
	subscribe(t, b, "kept")
	for n := range 2 {
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			break
		}
		if err := b.Disconnect(); err != nil {
			t.Fatal(err)
		}
		if err := sub.Unsubscribe(false); err != nil {
			t.Fatal(err)
		}
	}
	if list := server.Sessions(); !slices.Equal(list[0].Filters, []string{"kept"}) {
		t.Errorf("%+v", list)
	}
}

// A store that cannot remember filters does not prevent a start or a subscription.
func TestFiltersThatCannotBeRemembered(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	b, out := logged(t, server.URL(), mqttbroker.WithClientId("v"), mqttbroker.WithDeadLetters(forgetful{deadletter.NewMemory(0)}))
	subscribe(t, b, "a")
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	subscribe(t, b, "b")
	if n := out.count("could not be stored; a filter"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

type forgetful struct{ *deadletter.Memory }

func (forgetful) Parks() bool { return false }

func (forgetful) Filters(context.Context, string) ([]string, error) { return nil, errors.New("away") }

func (forgetful) SetFilters(context.Context, string, []string) error { return errors.New("away") }
