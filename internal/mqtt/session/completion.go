package session

import (
	"context"
	"runtime/debug"
	"sync"
	"time"
)

// completion receives the outcome of a message in flight, once and without any
// lock of the session held. complete runs on the read loop and must not block.
type completion interface{ complete(err error) }

// call is the completion of a synchronous publish.
type call struct{ done chan error }

func (c *call) complete(err error) { c.done <- err }

// wait returns the outcome. ok is false if the caller's time ends first.
func (c *call) wait(ctx context.Context, timeout <-chan time.Time) (ok bool, err error) {
	select {
	case err = <-c.done:
		return true, err
	case <-ctx.Done():
	case <-timeout:
	}
	select {
	case err = <-c.done: // if both are ready, the outcome is more useful
		return true, err
	default:
		return false, nil
	}
}

// calls recycles the completions of synchronous publishes. One whose caller
// gave up is not reused, because its outcome may still arrive.
type calls struct{ pool sync.Pool }

func (p *calls) get() *call {
	if c, ok := p.pool.Get().(*call); ok {
		return c
	}
	return &call{done: make(chan error, 1)}
}

func (p *calls) put(c *call) { p.pool.Put(c) }

// callbacks runs the callbacks of asynchronous publishes on a separate
// goroutine in the order of the acknowledgements, so that no user code runs on
// the read loop. Waiting callbacks count against the in-flight window: a slow
// callback slows its publishers instead of filling the memory.
type callbacks struct {
	mu      sync.Mutex
	queue   []outcome
	next    []outcome     // taken from queue; used only by the goroutine, as is at
	at      int           // how many of next were called
	idle    chan struct{} // closed when the goroutine ends; nil if there is none
	pool    sync.Pool     // of *asyncCall
	kept    bool          // an outbox keeps the messages
	waiting int           // callbacks that have not run yet; guarded by the lock of outbound
	chunk   int           // number of callbacks after which room is released
	onRun   func(n int)   // called before n callbacks with no lock held: a callback may publish and then needs room
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

// isKept reports whether an outbox keeps the message.
func isKept(done completion) bool {
	a, ok := done.(*asyncCall)
	return ok && a.to.kept
}

// get returns the completion of one publish. It is recycled by complete, which
// is called once.
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

// end returns the outcome and recycles c.
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

// run calls the callbacks and ends when there are no more. It owns its goroutine. A
// callback may end that goroutine (runtime.Goexit, as a failing test assertion does):
// then a new goroutine calls the remaining callbacks.
func (c *callbacks) run(idle chan struct{}) {
	over := false
	defer func() {
		if !over {
			go c.run(idle)
			return
		}
		close(idle)
	}()
	for c.more() {
		for c.at < len(c.next) {
			if c.at%c.chunk == 0 {
				c.onRun(min(c.chunk, len(c.next)-c.at))
			}
			o := c.next[c.at]
			c.next[c.at] = outcome{}
			c.at++
			c.call(o)
		}
	}
	over = true
}

func (c *callbacks) more() bool {
	if c.at < len(c.next) {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.queue, c.at = c.queue, c.next[:0], 0
	if len(c.next) == 0 {
		c.idle = nil
	}
	return len(c.next) > 0
}

// call calls one callback and recovers from a panic.
func (c *callbacks) call(o outcome) {
	defer func() {
		if v := recover(); v != nil {
			c.onPanic(v, debug.Stack())
		}
	}()
	o.fn(o.err)
}

// wait waits until every callback has run or ctx ends.
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
