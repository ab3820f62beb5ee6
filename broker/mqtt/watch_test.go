package mqtt_test

import (
	"errors"
	"sync/atomic"
	"testing"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A watcher that hangs does not prevent the session from being resumed, new
// subscriptions, or calls of other watchers.
func TestWatcherThatHangs(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := open(t, proxy.URL(), mqttbroker.WithClientId("watched"))
	subscribe(t, b, "a")
	subs := b
	let := make(chan struct{})
	defer close(let)
	var calls atomic.Int32
	hangs := make(chan struct{})
	subs.WatchSubscriptions(func(event.SubscriptionState) {
		if calls.Add(1) == 2 {
			close(hangs)
			<-let
		}
	})
	var last atomic.Value
	stop := subs.WatchSubscriptions(func(g event.SubscriptionState) { last.Store(g) })
	defer stop()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, hangs)
	proxy.Cut()
	done := make(chan error, 1)
	go func() {
		_, err := b.Subscribe("b", nothing, nil)
		done <- err
	}()
	if err := receive(t, done); err != nil {
		t.Fatal(err)
	}
	mqtttest.Eventually(t, patience, func() error {
		g, _ := last.Load().(event.SubscriptionState)
		if h := b.Health(); !h.Ready || !g.Granted || g != subs.SubscriptionState() {
			return errors.New("not back")
		}
		return nil
	})
	if n := calls.Load(); n != 2 {
		t.Errorf("called %d times, want one call at a time", n)
	}
}

// Changes during a call of the watcher are not reported one by one afterwards: the
// watcher receives only the last state. No two consecutive calls have the same state.
func TestWatcherIsToldTheLastState(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := open(t, proxy.URL(), mqttbroker.WithClientId("watched"))
	subscribe(t, b, "a")
	subs := b
	told, let := make(chan event.SubscriptionState, 100), make(chan struct{})
	stop := subs.WatchSubscriptions(func(g event.SubscriptionState) {
		told <- g
		if g.Granted {
			<-let
		}
	})
	if g := receive(t, told); g != (event.SubscriptionState{}) {
		t.Fatalf("first told %v", g)
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	for !receive(t, told).Granted {
		continue
	}
	for range 3 { // the watcher does not receive these changes
		ready(t, b)
		if err := b.Disconnect(); err != nil {
			t.Fatal(err)
		}
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
	}
	ready(t, b)
	if err := b.Disconnect(); err != nil {
		t.Fatal(err)
	}
	close(let)
	if g := receive(t, told); g != subs.SubscriptionState() || g.Granted {
		t.Errorf("told %v, want %v", g, subs.SubscriptionState())
	}
	if len(told) != 0 {
		t.Errorf("told %d more times", len(told))
	}
	stop()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	if len(told) != 0 {
		t.Error("told after stop")
	}
}

// A watcher may start and stop watching within its own call.
func TestWatcherThatWatches(t *testing.T) {
	t.Parallel()
	b := open(t, mqtttest.InProcess(t).URL())
	subs := b
	done, stops := make(chan struct{}, 1), make(chan func(), 1)
	stops <- subs.WatchSubscriptions(func(event.SubscriptionState) {
		subs.WatchSubscriptions(func(event.SubscriptionState) {})()
		stop := <-stops
		stop()
		stop()
		done <- struct{}{}
	})
	receive(t, done)
}

// A watcher that panics is called again for the next change.
func TestWatcherThatPanics(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL())
	subscribe(t, b, "a")
	subs := b
	all := make(chan struct{}, 10)
	defer subs.WatchSubscriptions(func(g event.SubscriptionState) {
		if !g.Granted {
			panic("watcher")
		}
		all <- struct{}{}
	})()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, all)
	mqtttest.Eventually(t, patience, func() bool { return out.count("panicked exception.message=watcher") > 0 })
}
