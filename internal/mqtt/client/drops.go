package client

import (
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// drops collects dropped messages, so that a flood of them is one call of the hook.
type drops struct {
	notify func(event.UnhandledInfo) // nil reports nothing
	calls  *callbacks
	later  func(func())

	full, unmatched, illFormed, kept atomic.Int64
	noted                            atomic.Bool
}

// add adds a message to one of the counts.
func (d *drops) add(n *atomic.Int64) {
	if d.notify == nil {
		return
	}
	n.Add(1)
	if d.noted.CompareAndSwap(false, true) {
		d.later(d.report)
	}
}

func (d *drops) report() {
	d.noted.Store(false)
	info := event.UnhandledInfo{
		QueueFull: int(d.full.Swap(0)), Unmatched: int(d.unmatched.Swap(0)),
		IllFormed: int(d.illFormed.Swap(0)), UnmatchedKept: int(d.kept.Swap(0)),
	}
	if info != (event.UnhandledInfo{}) {
		callHook(d.calls, d.notify, info)
	}
}
