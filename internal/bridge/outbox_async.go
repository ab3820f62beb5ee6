package bridge

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// appender takes asynchronous publishes into the store: in order, as many at
// once as there are, so that they share one write to disk. Its goroutine lives
// while there are any.
type appender struct {
	keeper *keeper
	room   chan struct{} // taken by those that wait for the store

	mu    sync.Mutex
	queue []*appending
	idle  chan struct{} // closed when the goroutine ends; nil without one
}

// appending is one publish.
type appending struct {
	entry *outbox.Entry
	done  func(error)
	err   error
	over  bool // the outcome is known, and it took no room
}

// maxAppending bounds what waits for the store, and what goes there at once.
const maxAppending = 256

func (a *appender) init() { a.room = make(chan struct{}, maxAppending) }

// acceptAsync is accept without the wait. A transaction does not wait for
// others: then the store has the message when it returns.
func (k *keeper) acceptAsync(ctx context.Context, m Message, done func(error)) error {
	e, err := k.entry(ctx, &m)
	if err != nil {
		return err
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, k.state.timeout())
		defer cancel()
	}
	if sqltx.From(ctx) != nil {
		err := k.appended(ctx, m.Topic, k.store.Append(ctx, e))
		if err == nil {
			k.async.add(&appending{entry: e, done: done, over: true})
		}
		return err
	}
	select {
	case k.async.room <- struct{}{}:
	case <-ctx.Done():
		return public("publish", m.Topic, ctx.Err())
	}
	k.async.add(&appending{entry: e, done: done})
	return nil
}

// behind is accept in line with asynchronous publishes: what one goroutine
// publishes after the other stays in order.
func (k *keeper) behind(ctx context.Context, e *outbox.Entry) error {
	timer := time.NewTimer(k.state.timeout())
	defer timer.Stop()
	timeout := timer.C
	if _, ok := ctx.Deadline(); ok {
		timeout = nil
	}
	failed := func(maybe bool) error {
		err := cmp.Or(ctx.Err(), context.DeadlineExceeded)
		return &event.Error{Op: "publish", Topic: clip(e.Topic), Reason: reasonOfContext(err), MayHaveBeenSent: maybe, Cause: err}
	}
	select {
	case k.async.room <- struct{}{}:
	case <-ctx.Done():
		return failed(false)
	case <-timeout:
		return failed(false)
	}
	outcome := make(chan error, 1)
	k.async.add(&appending{entry: e, done: func(err error) { outcome <- err }})
	select {
	case err := <-outcome:
		return err
	case <-ctx.Done():
	case <-timeout:
	}
	return failed(true)
}

// busy says whether somebody is in line.
func (a *appender) busy() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.idle != nil
}

func (a *appender) add(p *appending) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.queue = append(a.queue, p)
	if a.idle == nil {
		a.idle = make(chan struct{})
		go a.run(a.idle)
	}
}

// run owns the goroutine; it ends when nothing is left.
func (a *appender) run(idle chan<- struct{}) {
	defer close(idle)
	for batch := a.take(); len(batch) > 0; batch = a.take() {
		for range a.append(batch) { // before the callbacks, which may publish
			<-a.room
		}
		for _, p := range batch {
			a.keeper.state.protect("publish callback", func() { p.done(p.err) })
		}
	}
}

func (a *appender) take() []*appending {
	a.mu.Lock()
	defer a.mu.Unlock()
	batch := a.queue
	if a.queue = nil; len(batch) == 0 {
		a.idle = nil
	}
	return batch
}

// append settles every one of the batch and says how many it had to. What there
// is no room for together may have room one by one.
func (a *appender) append(batch []*appending) (n int) {
	k := a.keeper
	ctx, cancel := context.WithTimeout(context.Background(), k.state.timeout())
	defer cancel()
	var entries []*outbox.Entry
	for _, p := range batch {
		if !p.over {
			entries = append(entries, p.entry)
		}
	}
	if len(entries) == 0 {
		return 0
	}
	err := k.store.Append(ctx, entries...)
	apart := len(entries) > 1 && errors.Is(err, outbox.ErrFull)
	for _, p := range batch {
		if p.over {
			continue
		}
		if apart {
			err = k.store.Append(ctx, p.entry)
		}
		p.err = k.appended(ctx, p.entry.Topic, err)
	}
	return len(entries)
}

// wait returns when every publish has its outcome, or ctx ends.
func (a *appender) wait(ctx context.Context) {
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
