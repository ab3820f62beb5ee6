package broker

import (
	"sync"
	"sync/atomic"
)

// gate blocks callers of wait while it is shut.
type gate struct {
	shut atomic.Bool
	mu   sync.Mutex
	open chan struct{} // closed while the gate is open; nil until it was first shut
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut.Load() == shut {
		return
	}
	if shut {
		g.open = make(chan struct{})
	} else {
		close(g.open)
	}
	g.shut.Store(shut)
}

// wait returns false if done is closed before the gate opens.
func (g *gate) wait(done <-chan struct{}) bool {
	if !g.shut.Load() {
		return true
	}
	g.mu.Lock()
	open := g.open
	g.mu.Unlock()
	select {
	case <-open:
		return true
	case <-done:
		return false
	}
}
