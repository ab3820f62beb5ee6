package request

import (
	"context"
	"sync"
)

// attempts are those at replies that are under way. The zero value is ready; it is
// safe for concurrent use.
type attempts struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0 again; nil when it is
}

// start runs one, on a goroutine that ends with it.
func (a *attempts) start(attempt func()) {
	a.mu.Lock()
	if a.n++; a.n == 1 {
		a.idle = make(chan struct{})
	}
	a.mu.Unlock()
	go func() {
		defer a.end()
		attempt()
	}()
}

func (a *attempts) end() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n--; a.n == 0 {
		close(a.idle)
		a.idle = nil
	}
}

// wait returns when none is under way, or ctx ends.
func (a *attempts) wait(ctx context.Context) {
	a.mu.Lock()
	idle := a.idle
	a.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
