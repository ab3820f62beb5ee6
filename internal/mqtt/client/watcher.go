package client

import (
	"fmt"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// watcher calls a user's function with each change of the grants, on a goroutine of its own
// that exists while there is something to report: a function that hangs delays nothing
// else. Only the last state is kept, without a queue.
type watcher struct {
	log func() logsafe.Log
	f   func(event.SubscriptionState)

	mu      sync.Mutex
	next    event.SubscriptionState
	due     bool // next is to be reported
	last    event.SubscriptionState
	hasLast bool // last was passed to f
	running bool
	stopped bool
}

// notify makes f be called with g, without waiting for it.
func (w *watcher) notify(g event.SubscriptionState) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next, w.due = g, true
	if !w.running && !w.stopped {
		w.running = true
		go w.run()
	}
}

// stop prevents further calls.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

// run is the watcher's goroutine. If a call ends it (runtime.Goexit, as a failing test
// assertion does), another one continues.
func (w *watcher) run() {
	over := false
	defer func() {
		if !over {
			go w.run()
		}
	}()
	for g, ok := w.pending(); ok; g, ok = w.pending() {
		w.call(g)
	}
	over = true
}

// pending returns the state to report. Changes that cancelled each other before they were
// reported are left out.
func (w *watcher) pending() (g event.SubscriptionState, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ok = w.due && !w.stopped && (!w.hasLast || w.next != w.last)
	w.due, w.running = false, ok
	if ok {
		w.last, w.hasLast = w.next, true
	}
	return w.next, ok
}

func (w *watcher) call(g event.SubscriptionState) {
	defer func() {
		if v := recover(); v != nil {
			w.log().Error("mqtt: a function that watches the subscriptions panicked", logsafe.KeyPanic, fmt.Sprint(v))
		}
	}()
	w.f(g)
}
