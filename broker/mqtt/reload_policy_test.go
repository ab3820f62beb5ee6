package mqtt_test

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A reload changes the concurrency of a subscription, closes the breaker that it disables,
// and lets a parked message be tried by the new policy from its next attempt on.
func TestReloadOfPolicies(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	c := &v1.Settings{
		Connection: &v1.Connection{Addresses: []string{url}, ClientId: "policies"},
		Subscriber: &v1.Subscriber{
			Breaker: &v1.Breaker{Failures: proto.Uint32(2), Pause: durationpb.New(time.Hour)},
			Subscriptions: map[string]*v1.Subscription{
				"slow/+":   {Concurrency: 2},
				"parked/+": {Exhausted: "park", Retry: &v1.Retry{MaxAttempts: 1}, ParkMaxAttempts: proto.Uint32(0), Breaker: &v1.Breaker{Failures: proto.Uint32(0)}},
			},
		},
	}
	store := deadletter.NewMemory(100)
	b, out := logged(t, url, mqttbroker.WithConnectionConfig(c.Connection), mqttbroker.WithSubscriberConfig(c.Subscriber), mqttbroker.WithDeadLetters(store))
	var running, down, tries atomic.Int64
	var up atomic.Bool
	release := make(chan struct{})
	subscribe := func(filter string, f func() error) {
		_, err := b.Subscribe(filter, func(context.Context, broker.Event) error { return f() }, nil, broker.WithSubscribeContext(t.Context()))
		if err != nil {
			t.Fatal(err)
		}
	}
	failure := kerrors.InternalServer("DOWN", "not now")
	subscribe("slow/+", func() error {
		running.Add(1)
		<-release
		return nil
	})
	subscribe("down/+", func() error {
		if up.Load() {
			down.Add(1)
			return nil
		}
		return failure
	})
	subscribe("parked/+", func() error {
		tries.Add(1)
		return failure
	})
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	state := func() any { return out }
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		publish(t, b, "slow/"+name, name)
		publish(t, b, "down/"+name, name)
	}
	publish(t, b, "parked/a", "a")
	advances(t, 2, func() int { return int(running.Load()) }, state)
	advances(t, 1, func() int {
		return out.count("the breaker of a subscription is open, its messages wait messaging.destination.subscription.name=down/+ ")
	}, state)
	advances(t, 1, func() int { return min(1, out.count("mqtt: message parked")) }, state)

	next := proto.CloneOf(c)
	next.Subscriber.Breaker = nil
	next.Subscriber.Subscriptions["slow/+"].Concurrency = 8
	parked := next.Subscriber.Subscriptions["parked/+"]
	parked.ParkMaxAttempts, parked.Retry = proto.Uint32(2), &v1.Retry{MaxAttempts: 1, MaxBackoff: durationpb.New(time.Millisecond)}
	up.Store(true)
	if err := b.Reload(next); err != nil {
		t.Fatal(err)
	}
	advances(t, 6, func() int { return int(running.Load()) }, state)
	close(release)
	advances(t, 6, func() int { return int(down.Load()) }, state)
	advances(t, 1, func() int {
		letters, err := store.List(t.Context(), deadletter.Query{})
		if err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(letters, func(l *deadletter.Letter) bool { return l.State != deadletter.Dead }))
	}, state)
	if n := tries.Load(); n < 2 || n > 4 {
		t.Errorf("%d attempts at the parked message, want it to be a dead letter at the attempt after the reload", n)
	}
	if h := b.Health(); len(h.Pauses) != 0 {
		t.Errorf("%+v", h.Pauses)
	}
}

// Reloads beside Start and Stop neither race nor leave anything running.
func TestReloadBesideStop(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	c := &v1.Settings{Connection: &v1.Connection{Addresses: []string{url}, ClientId: "beside", Username: "ann", Password: "a"}, Subscriber: new(v1.Subscriber)}
	b, _ := logged(t, url, mqttbroker.WithConnectionConfig(c.Connection), mqttbroker.WithSubscriberConfig(c.Subscriber))
	if _, err := b.Subscribe("beside/#", func(context.Context, broker.Event) error { return nil }, nil, broker.WithSubscribeContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	over := make(chan error)
	go func() {
		for i := range uint32(200) {
			next := proto.CloneOf(c)
			next.Subscriber.Concurrency, next.Connection.Password = i%5+1, string(rune('a'+i%5))
			next.Subscriber.Breaker = &v1.Breaker{Failures: new(i % 3)}
			if err := b.Reload(next); err != nil {
				over <- err
				return
			}
		}
		over <- nil
	}()
	for range 5 {
		if err := b.Connect(); err != nil {
			t.Error(err)
		}
		publish(t, b, "beside/a", "a")
		if err := b.Disconnect(); err != nil && event.ReasonOf(err) != event.ReasonTimeout {
			t.Error(err)
		}
	}
	if err := <-over; err != nil {
		t.Error(err)
	}
}
