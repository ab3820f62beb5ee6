package client

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// watcher calls a function of the user's with each change of the grants, on a
// goroutine of its own that lives while there is something to tell: one that
// hangs holds up nothing but itself. It keeps the last state only, not a queue.
type watcher struct {
	log func() Logger
	f   func(event.Granted)

	mu      sync.Mutex
	next    event.Granted
	due     bool // next is to be reported
	last    event.Granted
	told    bool // last is what f received before
	running bool
	stopped bool
}

// tell has f called with g. It does not wait for that.
func (w *watcher) tell(g event.Granted) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next, w.due = g, true
	if !w.running && !w.stopped {
		w.running = true
		go w.run()
	}
}

// stop lets no further call begin.
func (w *watcher) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
}

// run owns the goroutine.
func (w *watcher) run() {
	for g, ok := w.take(); ok; g, ok = w.take() {
		w.call(g)
	}
}

// take returns what is to be told. Changes that took each other back before they
// were told are no change.
func (w *watcher) take() (g event.Granted, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ok = w.due && !w.stopped && (!w.told || w.next != w.last)
	w.due, w.running = false, ok
	if ok {
		w.last, w.told = w.next, true
	}
	return w.next, ok
}

func (w *watcher) call(g event.Granted) {
	defer func() {
		if v := recover(); v != nil {
			w.log().Errorf("mqtt: a function that watches the subscriptions panicked: %v", v)
		}
	}()
	w.f(g)
}
