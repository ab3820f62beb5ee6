package link

import (
	"sync/atomic"
	"time"
)

// watchdog detects a write that does not end. A write deadline of the socket
// costs as much as a small write. A deadline that passes on an idle connection
// also makes the next write of TLS or WebSocket itself fail, such as a key
// update or a pong. Its timer also tells when a connection is quiet.
type watchdog struct {
	timeout time.Duration
	expired func()
	quiet   func() (again bool)
	start   time.Time
	begun   atomic.Int64 // start of the write in ns after start, or 0 if there is none
	armed   atomic.Bool
	timer   *time.Timer
}

// newWatchdog returns a running watchdog. It calls expired if a write takes too
// long, and quiet if nothing is being written a timeout after a write; if quiet
// returns true, it is called again after another timeout.
func newWatchdog(timeout time.Duration, expired func(), quiet func() bool) *watchdog {
	w := &watchdog{timeout: timeout, expired: expired, quiet: quiet, start: time.Now()}
	w.timer = time.AfterFunc(timeout, w.check)
	w.armed.Store(true)
	return w
}

// begin is called before a write.
func (w *watchdog) begin() {
	w.begun.Store(max(1, int64(time.Since(w.start))))
	if !w.armed.Load() {
		w.arm(w.timeout)
	}
}

// end is called after a write.
func (w *watchdog) end() { w.begun.Store(0) }

// stop is called when no more writes follow.
func (w *watchdog) stop() { w.timer.Stop() }

func (w *watchdog) arm(d time.Duration) {
	if w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(d)
	}
}

// check runs when the current write may have taken too long. It does not run
// while nothing is written, except as often as quiet asks for it.
func (w *watchdog) check() {
	w.armed.Store(false)
	begun := w.begun.Load()
	if begun == 0 {
		if w.quiet() {
			w.arm(w.timeout)
		}
		return
	}
	if left := w.timeout - (time.Since(w.start) - time.Duration(begun)); left > 0 {
		w.arm(left)
		return
	}
	w.expired()
}
