package operation

import "sync"

// order records a Stop that was called before the first Start.
type order struct {
	mu     sync.Mutex
	begun  bool // Start was called
	before bool // and Stop before it
}

// early is called by Stop.
func (o *order) early() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.before = !o.begun
}

// first is called by Start, and reports whether Stop was called before.
func (o *order) first() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	stopped := o.before
	o.begun, o.before = true, false
	return stopped
}
