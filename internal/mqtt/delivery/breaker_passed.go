package delivery

import (
	"context"
	"sync"
	"sync/atomic"
)

// Overdue takes note of an attempt that passed its deadline and still runs: another one may run
// instead, because it may never return. since is the [Breaker.Epoch] of its start. Call Returned
// when it has returned, perhaps before.
func (b *Breaker) Overdue(since uint32) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.passed.hang(since, 1)
	b.mu.Unlock()
	b.offer()
}

// Returned ends Overdue.
func (b *Breaker) Returned(since uint32) {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.passed.hang(since, -1)
}

// passed counts the tasks that a breaker let pass.
type passed struct {
	// now has the number of times that the breaker was stopped, the epoch, in its upper half, and
	// in the lower one the tasks that passed since the last time and have not returned. What
	// passed before limits nothing, because it may never return.
	now     atomic.Uint64
	hung    atomic.Int32 // attempts of this epoch that passed their deadline and still run
	running atomic.Int32 // all tasks that have not returned
	waited  atomic.Bool  // idle is set

	mu   sync.Mutex
	idle chan struct{}
}

func (p *passed) epoch() uint32 { return uint32(p.now.Load() >> 32) }

// forget begins an epoch. The mutex of the breaker is held, as for hang.
func (p *passed) forget() {
	p.now.Store(uint64(p.epoch()+1) << 32)
	p.hung.Store(0)
}

// hang changes the number of attempts that hang.
func (p *passed) hang(epoch uint32, by int32) {
	if epoch == p.epoch() {
		p.hung.Add(by)
	}
}

// enter counts a task, unless there are most already. A negative number is no limit.
func (p *passed) enter(most *atomic.Int32) (epoch uint32, may bool) {
	p.running.Add(1) // before it may be seen that nothing passes
	for {
		now := p.now.Load()
		if p.over(now, most.Load()) {
			p.leave()
			return 0, false
		}
		if p.now.CompareAndSwap(now, now+1) {
			return uint32(now >> 32), true
		}
	}
}

// exit ends enter.
func (p *passed) exit(epoch uint32) {
	for {
		now := p.now.Load()
		if uint32(now>>32) != epoch || p.now.CompareAndSwap(now, now-1) {
			break
		}
	}
	p.leave()
}

func (p *passed) full(most int32) bool { return p.over(p.now.Load(), most) }

func (p *passed) over(now uint64, most int32) bool {
	return most >= 0 && int32(uint32(now))-p.hung.Load() >= most
}

// leave takes a task off those that run.
func (p *passed) leave() {
	if p.running.Add(-1) > 0 || !p.waited.Load() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.idle != nil {
		close(p.idle)
		p.idle = nil
	}
	p.waited.Store(false)
}

// wait waits until no task runs.
func (p *passed) wait(ctx context.Context) error {
	for {
		p.mu.Lock()
		if p.idle == nil {
			p.idle = make(chan struct{})
		}
		idle := p.idle
		p.waited.Store(true)
		over := p.running.Load() == 0
		p.mu.Unlock()
		if over {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
