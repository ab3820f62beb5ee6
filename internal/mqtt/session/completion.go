package session

import (
	"context"
	"runtime/debug"
	"slices"
	"sync"
	"time"
)

// completion is told the outcome of a message in flight, once, outside every
// lock of the session. It runs on the read loop and must not block.
type completion interface{ complete(err error) }

// call is a publish that somebody waits for.
type call struct{ done chan error }

func (c *call) complete(err error) { c.done <- err }

// wait returns the outcome; ok is false when the caller's time is up first.
func (c *call) wait(ctx context.Context, timeout <-chan time.Time) (ok bool, err error) {
	select {
	case err = <-c.done:
		return true, err
	case <-ctx.Done():
	case <-timeout:
	}
	select {
	case err = <-c.done: // both at once: the truth is the better answer
		return true, err
	default:
		return false, nil
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
// in-flight window: a slow callback slows those who want one, not the memory.
type callbacks struct {
	mu      sync.Mutex
	queue   []outcome
	next    []outcome     // taken from queue; used by the goroutine only
	idle    chan struct{} // closed when the goroutine ends; nil without one
	pool    sync.Pool     // of *asyncCall
	kept    bool          // an outbox has the messages
	waiting int           // callbacks not yet run; of the lock of outbound
	chunk   int           // how many callbacks make room for others together
	onRun   func(n int)   // before n callbacks, with no lock held: one may publish, and needs room
	onPanic func(v any, stack []byte)
}

type outcome struct {
	fn  func(error)
	err error
}

// asyncCall is the completion of one asynchronous publish.
type asyncCall struct {
	to    *callbacks
	fn    func(error)
	topic string
}

// isKept reports whether an outbox has the message.
func isKept(done completion) bool {
	a, ok := done.(*asyncCall)
	return ok && a.to.kept
}

// get returns the completion of one publish. It is used again after complete,
// which is called once.
func (c *callbacks) get(fn func(error), topic string) *asyncCall {
	a, ok := c.pool.Get().(*asyncCall)
	if !ok {
		a = &asyncCall{to: c}
	}
	a.fn, a.topic = fn, topic
	return a
}

func (c *asyncCall) complete(err error) {
	c.to.add(c.end(onTopic(err, c.topic)))
}

// end returns the outcome and puts the memory back.
func (c *asyncCall) end(err error) outcome {
	o := outcome{c.fn, err}
	c.fn, c.topic = nil, ""
	c.to.pool.Put(c)
	return o
}

func (c *callbacks) add(o ...outcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, o...)
	if c.idle == nil {
		c.idle = make(chan struct{})
		go c.run(c.idle)
	}
}

// run owns the goroutine; it ends when nothing is left.
func (c *callbacks) run(idle chan struct{}) {
	for c.more() {
		for chunk := range slices.Chunk(c.next, c.chunk) {
			c.onRun(len(chunk))
			for i := range chunk {
				c.call(chunk[i])
				chunk[i] = outcome{}
			}
		}
	}
	close(idle)
}

func (c *callbacks) more() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.queue = c.queue, c.next[:0]
	if len(c.next) == 0 {
		c.idle = nil
	}
	return len(c.next) > 0
}

// call keeps a panic of the user's callback from ending the process.
func (c *callbacks) call(o outcome) {
	defer func() {
		if v := recover(); v != nil {
			c.onPanic(v, debug.Stack())
		}
	}()
	o.fn(o.err)
}

// wait returns when every callback has run, or ctx ends.
func (c *callbacks) wait(ctx context.Context) {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return
	}
	select {
	case <-idle:
	case <-ctx.Done():
	}
}
