package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Many parked keys of one device do not delay the parked keys of others: origins take
// turns, not keys.
func TestParkedKeysOfOneOriginWaitForEachOther(t *testing.T) {
	t.Parallel()
	const hostile = 400
	store := deadletter.NewMemory(0)
	id := idOf(t)
	now := time.Now()
	for i := range hostile + 1 {
		topic := fmt.Sprintf("devices/evil/%d", i)
		if i == hostile { // behind all others
			topic = "devices/good/data"
		}
		err := store.Put(t.Context(), &deadletter.Letter{
			ID: numbered(i), State: deadletter.Parked, Owner: id, Filter: "devices/+/#", Key: topic, Received: now, Time: now,
			Until: now.Add(time.Hour), Reason: "bad", Message: message.Message{Topic: topic, Payload: []byte("x"), QoS: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	var mu sync.Mutex
	var before, attempts int // hostile ones before the last attempt of the good one
	done := make(chan struct{})
	s := on("devices/+/#", func(ctx context.Context, d *Delivery) error {
		mu.Lock()
		if strings.HasPrefix(d.Topic, "devices/good/") {
			defer mu.Unlock()
			if attempts++; attempts == 3 {
				close(done)
				return nil
			}
			return errors.New("not yet")
		}
		before++
		mu.Unlock()
		select {
		case <-time.After(5 * time.Millisecond):
		case <-ctx.Done():
		}
		return errors.New("bad")
	})
	park(s)
	s.Backoff, s.MaxBackoff = time.Millisecond, 2*time.Millisecond
	b := mqtttest.Mosquitto(t)
	running(t, client(t, b.URL(), keepIn(store), func(c *Config) { c.Concurrency = 4 }), s)
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("the parked message of the good device was not handled")
	}
	mu.Lock()
	defer mu.Unlock()
	if before > hostile/2 {
		t.Errorf("three attempts came behind %d of the other device", before)
	}
}

// Parked messages of one origin whose handlers hang leave a turn for other origins, and the
// delayed ones continue when the handlers end.
func TestParkedKeysThatHangLeaveATurn(t *testing.T) {
	t.Parallel()
	const hostile = 40
	store := deadletter.NewMemory(0)
	id, now := idOf(t), time.Now()
	for i := range hostile + 1 {
		topic := fmt.Sprintf("devices/evil/%d", i)
		if i == hostile {
			topic = "devices/good/data"
		}
		err := store.Put(t.Context(), &deadletter.Letter{
			ID: numbered(i), State: deadletter.Parked, Owner: id, Filter: "devices/+/#", Key: topic, Received: now, Time: now,
			Until: now.Add(time.Hour), Reason: "bad", Message: message.Message{Topic: topic, Payload: []byte("x"), QoS: 1},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	free, good, evil := make(chan struct{}), make(chan struct{}), make(chan struct{}, hostile)
	s := on("devices/+/#", func(ctx context.Context, d *Delivery) error {
		if strings.HasPrefix(d.Topic, "devices/good/") {
			close(good)
			return nil
		}
		select {
		case <-free:
		case <-ctx.Done():
		}
		evil <- struct{}{}
		return nil
	})
	park(s)
	b := mqtttest.Mosquitto(t)
	running(t, client(t, b.URL(), keepIn(store)), s)
	select {
	case <-good:
	case <-time.After(patience):
		t.Error("the parked message of the good device was not handled")
	}
	close(free)
	for i := range hostile {
		select {
		case <-evil:
		case <-time.After(patience):
			t.Fatalf("%d of %d parked messages were handled in the end", i, hostile)
		}
	}
}
