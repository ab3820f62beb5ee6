package client

import (
	"sync/atomic"
)

// drops collects what the read loop has to drop, so that a flood of it is one
// call of the hook.
type drops struct {
	tell  func(queueFull, unmatched, illFormed, kept int) // nil is nobody
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
	full, unmatched, illFormed, kept := d.full.Swap(0), d.unmatched.Swap(0), d.illFormed.Swap(0), d.kept.Swap(0)
	if full+unmatched+illFormed+kept > 0 {
		d.calls.call(func() { d.tell(int(full), int(unmatched), int(illFormed), int(kept)) })
	}
}
