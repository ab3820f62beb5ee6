package mqtt_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// appends counts the messages that a store in a file accepts.
type appends struct {
	*outboxfile.Store
	n atomic.Int64
}

func (a *appends) Append(ctx context.Context, entries ...*outbox.Entry) error {
	a.n.Add(int64(len(entries)))
	return a.Store.Append(ctx, entries...)
}

func countedFile(t *testing.T) *appends {
	t.Helper()
	s, err := outboxfile.Open(filepath.Join(t.TempDir(), "outbox.db"), outboxfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return &appends{Store: s}
}

// While the broker is connected nothing is stored, otherwise every message is. The
// order is kept: no message overtakes a stored one.
func TestOutboxDirect(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	bothProtocols(t, func(t *testing.T, protocol string) {
		topic := "direct/" + protocol
		got := subscribe(t, connected(t, url, mqttbroker.WithProtocol(protocol)), topic)
		proxy, store := mqtttest.NewProxy(t, url), countedFile(t)
		b := connected(t, proxy.URL(), mqttbroker.WithProtocol(protocol),
			mqttbroker.WithOutbox(store, mqttbroker.OutboxSkipWhenEmpty(patience)))
		n := 0
		send := func(count int) {
			t.Helper()
			for range count {
				publish(t, b, topic, fmt.Sprint(n))
				n++
			}
		}
		want := func(first int) {
			t.Helper()
			for next := first; next < n; {
				// Known messages may be repeated.
				var i int
				if _, err := fmt.Sscan(strings.Trim(receive(t, got).body, `"`), &i); err != nil {
					t.Fatal(err)
				}
				if i > next {
					t.Fatalf("%d came before %d", i, next)
				}
				if i == next {
					next++
				}
			}
		}
		send(20)
		want(0)
		if stored := store.n.Load(); stored > 0 {
			t.Errorf("%d of 20 were stored although the broker is there", stored)
		}
		proxy.Refuse(true)
		proxy.Cut()
		mqtttest.Eventually(t, patience, func() bool { return !b.Health().Connected }, "the cut is not noticed")
		send(20)
		if stored := store.n.Load(); stored != 20 {
			t.Errorf("%d of 20 were stored while the broker was away", stored)
		}
		proxy.Refuse(false)
		send(20) // while the previous messages are in flight
		want(20)
		wantDepth(t, store, 0)
	})
}

// If the broker does not acknowledge a message in time, the store accepts it and the
// messages after it.
func TestOutboxDirectWithASlowBroker(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t)
	store := countedFile(t)
	got := subscribe(t, connected(t, server.URL()), "slow")
	b := connected(t, server.URL(), mqttbroker.WithOutbox(store, mqttbroker.OutboxSkipWhenEmpty(20*time.Millisecond)))
	publish(t, b, "slow", "0")
	receive(t, got)
	fault := server.Inject(testbroker.Fault{Direction: testbroker.ToClient, Type: testbroker.Puback, Do: testbroker.Delay(200 * time.Millisecond)})
	publish(t, b, "slow", "1")
	publish(t, b, "slow", "2")
	if n := store.n.Load(); n != 2 {
		t.Errorf("%d of 2 were stored", n)
	}
	fault.Remove()
	wantDepth(t, store, 0)
	for receive(t, got).body != `"2"` {
		continue // copies of earlier messages
	}
}

// While the gate is closed the store accepts every message, because subscriptions are
// not granted yet or nobody has subscribed to the message.
func TestOutboxDirectKeepsToTheGate(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	store, open := countedFile(t), make(chan struct{})
	got := subscribe(t, connected(t, url), "gate/direct")
	b := connected(t, url, mqttbroker.WithOutbox(store, mqttbroker.OutboxSkipWhenEmpty(patience),
		mqttbroker.OutboxGate(func(ctx context.Context) error {
			select {
			case <-open:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})))
	publish(t, b, "gate/direct", "0")
	if n := store.n.Load(); n != 1 {
		t.Errorf("%d stored behind a closed gate, want 1", n)
	}
	close(open)
	receive(t, got)
	wantDepth(t, store, 0)
	publish(t, b, "gate/direct", "1")
	receive(t, got)
	mqtttest.Eventually(t, patience, func() bool { return depth(t, store) == 0 })
}

// Concurrent publishes lose nothing while the connection is lost and restored.
func TestOutboxDirectUnderCuts(t *testing.T) {
	t.Parallel()
	url := mqtttest.Mosquitto(t).URL()
	got := subscribe(t, connected(t, url), "cuts")
	proxy, store := mqtttest.NewProxy(t, url), countedFile(t)
	b := connected(t, proxy.URL(), mqttbroker.WithOutbox(store, mqttbroker.OutboxSkipWhenEmpty(50*time.Millisecond)))
	const posters, each = 8, 40
	missing := make(map[string]bool)
	var wg sync.WaitGroup
	for p := range posters {
		for i := range each {
			missing[fmt.Sprintf(`"%d-%d"`, p, i)] = true
		}
		wg.Go(func() {
			for i := range each {
				if err := b.Publish(within(t, patience), "cuts", broker.NewMessage(fmt.Sprintf("%d-%d", p, i))); err != nil {
					t.Errorf("refused: %v", err)
				}
				if p == 0 && i%10 == 5 {
					proxy.Cut()
				}
			}
		})
	}
	wg.Wait()
	for len(missing) > 0 {
		delete(missing, receive(t, got).body)
	}
	wantDepth(t, store, 0)
}

// If the caller's time is shorter than that of a direct publish, the store accepts the
// message, as it does without the option.
func TestOutboxDirectLeavesTimeToStore(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t, testbroker.WithFaults(testbroker.Fault{
		Direction: testbroker.ToClient, Type: testbroker.Puback, Do: testbroker.Drop(), Times: 1,
	}))
	store := countedFile(t)
	b := connected(t, server.URL(), mqttbroker.WithOutbox(store, mqttbroker.OutboxSkipWhenEmpty(patience)))
	if err := b.Publish(within(t, 6*time.Second), "short", broker.NewMessage("x")); err != nil {
		t.Errorf("not accepted: %v", err)
	}
	if n := store.n.Load(); n != 1 {
		t.Errorf("%d stored, want 1", n)
	}
}
