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
	subs.WatchGranted(func(event.Granted) {
		if calls.Add(1) == 2 {
			close(hangs)
			<-let
		}
	})
	var last atomic.Value
	stop := subs.WatchGranted(func(g event.Granted) { last.Store(g) })
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
		g, _ := last.Load().(event.Granted)
		if h := b.Health(); !h.Ready || !g.All || g != subs.Granted() {
			return errors.New("not back")
		}
		return nil
	})
	if n := calls.Load(); n != 2 {
		t.Errorf("called %d times, want one call at a time", n)
	}
}

// What is not told while a watcher is busy is not told late: it gets the last
// state, and no two calls are the same.
func TestWatcherIsToldTheLastState(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	b := open(t, proxy.URL(), mqttbroker.WithClientId("watched"))
	subscribe(t, b, "a")
	subs := b
	told, let := make(chan event.Granted, 100), make(chan struct{})
	stop := subs.WatchGranted(func(g event.Granted) {
		told <- g
		if g.All {
			<-let
		}
	})
	if g := receive(t, told); g != (event.Granted{}) {
		t.Fatalf("first told %v", g)
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	for !receive(t, told).All {
		continue
	}
	for range 3 { // it misses these
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
	if g := receive(t, told); g != subs.Granted() || g.All {
		t.Errorf("told %v, want %v", g, subs.Granted())
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

// A watcher may watch, and stop, from its own call.
func TestWatcherThatWatches(t *testing.T) {
	t.Parallel()
	b := open(t, mqtttest.InProcess(t).URL())
	subs := b
	done, stops := make(chan struct{}, 1), make(chan func(), 1)
	stops <- subs.WatchGranted(func(event.Granted) {
		subs.WatchGranted(func(event.Granted) {})()
		stop := <-stops
		stop()
		stop()
		done <- struct{}{}
	})
	receive(t, done)
}

// A watcher that panics is called for the next change.
func TestWatcherThatPanics(t *testing.T) {
	t.Parallel()
	b, out := logged(t, mqtttest.InProcess(t).URL())
	subscribe(t, b, "a")
	subs := b
	all := make(chan struct{}, 10)
	defer subs.WatchGranted(func(g event.Granted) {
		if !g.All {
			panic("watcher")
		}
		all <- struct{}{}
	})()
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	receive(t, all)
	mqtttest.Eventually(t, patience, func() bool { return out.count("panicked: watcher") > 0 })
}
