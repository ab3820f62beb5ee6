package bridge

import (
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// watcher calls a function of the user's with each change of the grants, on a
// goroutine of its own that lives while there is something to tell: one that
// hangs holds up nothing but itself. It keeps the last state only, not a queue.
type watcher struct {
	broker *Broker
	f      func(event.Granted)

	mu      sync.Mutex
	next    event.Granted
	due     bool // next is to be told
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

// run owns the goroutine. Changes that took each other back meanwhile are no
// change.
func (w *watcher) run() {
	var told event.Granted
	for first := true; ; first = false {
		g, ok := w.take()
		if !ok {
			return
		}
		if first || g != told {
			told = g
			w.call(g)
		}
	}
}

func (w *watcher) take() (g event.Granted, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ok = w.due && !w.stopped
	w.due, w.running = false, ok
	return w.next, ok
}

func (w *watcher) call(g event.Granted) {
	defer func() {
		if v := recover(); v != nil {
			w.broker.state().log.Errorf("mqtt: a function that watches the subscriptions panicked: %v", v)
		}
	}()
	w.f(g)
}
