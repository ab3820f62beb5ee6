package tablesize

import (
	"context"
	"sync"
)

// gate is shared by writers and held exclusively while a count takes its snapshot. Unlike a
// sync.RWMutex it can be waited for with a context. The zero value is open.
type gate struct {
	mu      sync.Mutex
	sharing int
	held    bool
	wanted  int           // callers that wait to hold it; while there are any, it is not shared further
	changed chan struct{} // closed at the next change; nil if no caller waits
}

func (g *gate) share(ctx context.Context) error {
	return g.enter(ctx, func() bool {
		if g.held || g.wanted > 0 {
			return false
		}
		g.sharing++
		return true
	})
}

func (g *gate) hold(ctx context.Context) error {
	g.mu.Lock()
	g.wanted++
	g.mu.Unlock()
	err := g.enter(ctx, func() bool {
		if g.held || g.sharing > 0 {
			return false
		}
		g.held = true
		return true
	})
	g.leave(func() { g.wanted-- })
	return err
}

func (g *gate) enter(ctx context.Context, try func() bool) error {
	for {
		g.mu.Lock()
		if try() {
			g.mu.Unlock()
			return nil
		}
		if g.changed == nil {
			g.changed = make(chan struct{})
		}
		changed := g.changed
		g.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) unshare() { g.leave(func() { g.sharing-- }) }
func (g *gate) release() { g.leave(func() { g.held = false }) }

func (g *gate) leave(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	if g.changed != nil {
		close(g.changed)
		g.changed = nil
	}
}
