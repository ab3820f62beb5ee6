package mqtt_test

import (
	"fmt"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/identity"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Two replicas with one configuration share the messages of the group that is named after
// their service, and neither takes the other's session.
func TestTwoReplicasWithOneConfiguration(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, m mqtttest.Broker, protocol string) {
		const n = 40
		got := make([]<-chan seen, 2)
		replicas := make([]*mqttbroker.Broker, 2)
		for i := range replicas {
			replicas[i] = open(t, m.URL(), mqttbroker.WithConnectionConfig(&v1.Connection{Protocol: protocol}), mqttbroker.WithServiceName("shop"))
			got[i] = subscribe(t, replicas[i], "jobs", broker.WithSubscribeQueueName("{service}"))
			if err := replicas[i].Connect(); err != nil {
				t.Fatal(err)
			}
			if err := replicas[i].WaitReady(within(t, patience)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range n {
			publish(t, replicas[0], "jobs", strconv.Itoa(i), mqttbroker.WithPublishQos(1))
		}
		all := make(map[string]int)
		for range n {
			select {
			case m := <-got[0]:
				all[m.body]++
			case m := <-got[1]:
				all[m.body]++
			case <-time.After(patience):
				t.Fatalf("got %d of %d", len(all), n)
			}
		}
		if len(all) != n || len(got[0])+len(got[1]) > 0 {
			t.Errorf("got %d different messages and %d more, want %d once", len(all), len(got[0])+len(got[1]), n)
		}
		for i, r := range replicas {
			h := r.Health()
			if id := h.Sessions[0].ClientID; h.LastLoss != nil || len(id) != len("shop-")+16 || id[:5] != "shop-" {
				t.Errorf("replica %d is %q and lost %v", i, id, h.LastLoss)
			}
		}
	})
}

// Replicas of a StatefulSet have sessions of their own, which each finds again.
func TestReplicasWithOrdinals(t *testing.T) {
	m := mqtttest.InProcess(t)
	replica := func(n int) (*mqttbroker.Broker, <-chan seen) {
		t.Setenv(identity.OrdinalVariable, strconv.Itoa(n))
		b := open(t, m.URL(), mqttbroker.WithClientId("{service}-{ordinal}"), mqttbroker.WithServiceName("shop"))
		got := subscribe(t, b, "prices")
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		return b, got
	}
	first, atFirst := replica(0)
	second, _ := replica(1)
	if err := second.Disconnect(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		publish(t, first, "prices", strconv.Itoa(i), mqttbroker.WithPublishQos(1))
	}
	_, again := replica(1)
	inOrder(t, atFirst, 3)
	inOrder(t, again, 3)
	var ids []string
	for _, s := range m.Sessions() {
		ids = append(ids, s.ClientID)
	}
	if slices.Sort(ids); !slices.Equal(ids, []string{"shop-0", "shop-0-pub", "shop-1"}) {
		t.Errorf("the broker has %q", ids)
	}
}

// A version without a filter of the one before unsubscribes it only when the broker has sent
// what it had for it: all of that is in the dead letters.
func TestRollingUpdateKeepsTheQueue(t *testing.T) {
	t.Parallel()
	eachKeeper(t, func(t *testing.T, m mqtttest.Broker, protocol string) {
		const n, old = 300, "old/+"
		store := deadletter.NewMemory(0)
		version := func(filters ...string) *mqttbroker.Broker {
			b := open(t, m.URL(), mqttbroker.WithClientId("saver-0"), mqttbroker.WithProtocol(protocol),
				mqttbroker.WithDeadLetters(store), mqttbroker.WithUnmatched(20*time.Millisecond, ""))
			for _, f := range filters {
				subscribe(t, b, f)
			}
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			return b
		}
		if err := version(old, "new").Disconnect(); err != nil {
			t.Fatal(err)
		}
		source := connected(t, m.URL(), mqttbroker.WithProtocol(protocol))
		for i := range n {
			publish(t, source, "old/a", strconv.Itoa(i), mqttbroker.WithPublishQos(1))
		}
		version("new")
		mqtttest.Eventually(t, patience, func() error {
			stats, err := store.Stats(t.Context())
			filters, err2 := store.Filters(t.Context(), "saver-0")
			if err != nil || err2 != nil || stats.Dead != n || !slices.Equal(filters, []string{"new"}) {
				return fmt.Errorf("%+v, %w, filters %q, %w, want %d letters and no old filter", stats, err, filters, err2, n)
			}
			return nil
		})
	})
}
