package link

import (
	"sync/atomic"
	"time"
)

// watchdog notices a write that does not end. A write deadline of the socket
// would do that too, but it costs as much as a small write, and when it passes
// on an idle connection, the next thing that TLS or WebSocket write by
// themselves fails: a key update, a pong.
type watchdog struct {
	timeout time.Duration
	expired func()
	start   time.Time
	begun   atomic.Int64 // when the write began, in ns after start; 0: none
	armed   atomic.Bool
	timer   *time.Timer
}

func newWatchdog(timeout time.Duration, expired func()) *watchdog {
	w := &watchdog{timeout: timeout, expired: expired, start: time.Now()}
	w.timer = time.AfterFunc(timeout, w.check)
	w.armed.Store(true)
	return w
}

// begin precedes a write.
func (w *watchdog) begin() {
	w.begun.Store(max(1, int64(time.Since(w.start))))
	if !w.armed.Load() {
		w.arm(w.timeout)
	}
}

// end follows it.
func (w *watchdog) end() { w.begun.Store(0) }

// stop is called when no write will follow.
func (w *watchdog) stop() { w.timer.Stop() }

func (w *watchdog) arm(d time.Duration) {
	if w.armed.CompareAndSwap(false, true) {
		w.timer.Reset(d)
	}
}

// check runs when the write in progress may have taken too long. While nothing
// is written it does not run.
func (w *watchdog) check() {
	w.armed.Store(false)
	begun := w.begun.Load()
	if begun == 0 {
		return
	}
	if left := w.timeout - (time.Since(w.start) - time.Duration(begun)); left > 0 {
		w.arm(left)
		return
	}
	w.expired()
}
