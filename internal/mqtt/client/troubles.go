package client

import (
	"context"
	"sync"
)

// troubles are what cannot be stored at the moment, and why.
type troubles struct {
	mu   sync.Mutex
	all  map[any]struct{}
	late error
}

func (t *troubles) set(what any, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.all == nil {
		t.all = make(map[any]struct{})
	}
	t.all[what], t.late = struct{}{}, err
}

func (t *troubles) clear(what any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if delete(t.all, what); len(t.all) == 0 {
		t.late = nil
	}
}

// last is nil when there is no trouble.
func (t *troubles) last() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.late
}

// background is what runs beside the messages, until it is stopped.
type background struct {
	ctx    context.Context
	cancel context.CancelFunc
	all    sync.WaitGroup
	mu     sync.Mutex // nothing begins once it is stopped
}

func (b *background) init() { b.ctx, b.cancel = context.WithCancel(context.Background()) }

func (b *background) run(f func(ctx context.Context)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() == nil {
		b.all.Go(func() { f(b.ctx) })
	}
}

func (b *background) stop() {
	b.mu.Lock()
	b.cancel()
	b.mu.Unlock()
	b.all.Wait()
}
