package client

import (
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// drops collects what the read loop has to drop, so that a flood of it is one
// call of the hook.
type drops struct {
	tell  func(event.DropInfo) // nil is nobody
	calls *callbacks
	later func(func())

	full, unmatched, illFormed, kept atomic.Int64
	noted                            atomic.Bool
}

// add tells of one message more of one of the counts.
func (d *drops) add(n *atomic.Int64) {
	if d.tell == nil {
		return
	}
	n.Add(1)
	if d.noted.CompareAndSwap(false, true) {
		d.later(d.report)
	}
}

func (d *drops) report() {
	d.noted.Store(false)
	info := event.DropInfo{
		QueueFull: int(d.full.Swap(0)), Unmatched: int(d.unmatched.Swap(0)),
		IllFormed: int(d.illFormed.Swap(0)), UnmatchedKept: int(d.kept.Swap(0)),
	}
	if info != (event.DropInfo{}) {
		tellOf(d.calls, d.tell, info)
	}
}
