package session

import (
	"context"
	"sync"
	"time"
)

// completion is told the outcome of a message in flight, once, outside every
// lock of the session. It runs on the read loop and must not block.
type completion interface{ complete(err error) }

// call is a publish that somebody waits for.
type call struct{ done chan error }

func (c *call) complete(err error) { c.done <- err }

// wait gives the outcome; ok is false when the caller's time is up first.
func (c *call) wait(ctx context.Context, timeout <-chan time.Time) (err error, ok bool) {
	select {
	case err = <-c.done:
		return err, true
	case <-ctx.Done():
	case <-timeout:
	}
	select {
	case err = <-c.done: // both at once: the truth is the better answer
		return err, true
	default:
		return nil, false
	}
}

// calls recycles the waiters of synchronous publishes. One that gave up is
// not put back, because its outcome may still come.
type calls struct{ pool sync.Pool }

func (p *calls) get() *call {
	if c, ok := p.pool.Get().(*call); ok {
		return c
	}
	return &call{done: make(chan error, 1)}
}

func (p *calls) put(c *call) { p.pool.Put(c) }

// callbacks runs the callbacks of asynchronous publishes on a goroutine of
// their own, in the order of the acknowledgements, so that nothing of the
// user's runs on the read loop. What waits here still counts against the
// in-flight window: a slow callback slows the publisher, not the memory.
type callbacks struct {
	mu      sync.Mutex
	queue   []outcome
	running bool
	idle    sync.WaitGroup
	onRun   func() // after each callback, with no lock held
}

type outcome struct {
	fn  func(error)
	err error
}

// asyncCall is the completion of one asynchronous publish.
type asyncCall struct {
	to *callbacks
	fn func(error)
}

func (c *asyncCall) complete(err error) { c.to.add(outcome{c.fn, err}) }

func (c *callbacks) add(o outcome) {
	c.mu.Lock()
	c.queue = append(c.queue, o)
	start := !c.running
	if start {
		c.running = true
		c.idle.Add(1)
	}
	c.mu.Unlock()
	if start {
		go c.run()
	}
}

// run owns the goroutine; it ends when nothing is left.
func (c *callbacks) run() {
	defer c.idle.Done()
	var batch []outcome
	for {
		c.mu.Lock()
		batch, c.queue = c.queue, batch[:0]
		if len(batch) == 0 {
			c.running = false
			c.mu.Unlock()
			return
		}
		c.mu.Unlock()
		for i, o := range batch {
			o.fn(o.err)
			batch[i] = outcome{}
			c.onRun()
		}
	}
}

// wait returns when every callback has run.
func (c *callbacks) wait() { c.idle.Wait() }
