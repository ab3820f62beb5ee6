package bridge

import (
	"cmp"
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
)

// appender takes asynchronous publishes into the store: in order, as many at
// once as there are, so that they share one write to disk.
type appender struct {
	keeper *keeper
	room   chan struct{} // taken until the callback runs
	store  line[*appending]
	calls  line[*appending]
}

// appending is one publish. Its outcome goes to who waits, or else to the
// callback.
type appending struct {
	entry  *outbox.Entry
	waiter chan error
	done   func(error)
	err    error
	roomy  bool // took room
}

// maxAppending bounds the asynchronous publishes that wait for the store or for
// their callback.
const maxAppending = 256

func (a *appender) init() {
	a.room = make(chan struct{}, maxAppending)
	a.store.work, a.calls.work = a.append, a.call
}

// acceptAsync is accept without the wait. A transaction does not wait for
// others: then the store has the message when it returns.
func (k *keeper) acceptAsync(ctx context.Context, m Message, done func(error)) error {
	e, err := k.entry(ctx, &m)
	if err != nil {
		return err
	}
	ctx, cancel := k.limited(ctx)
	defer cancel()
	if sqltx.From(ctx) != nil {
		err := k.appended(ctx, m.Topic, k.store.Append(ctx, e))
		if err == nil {
			k.async.calls.add(&appending{entry: e, done: done})
		}
		return err
	}
	select {
	case k.async.room <- struct{}{}:
	case <-ctx.Done():
		return public("publish", m.Topic, ctx.Err())
	}
	k.async.store.add(&appending{entry: e, done: done, roomy: true})
	return nil
}

// behind is accept in line with asynchronous publishes: what one goroutine
// publishes after the other stays in order. It takes no room, which a callback
// that publishes might wait for in vain.
func (k *keeper) behind(ctx context.Context, e *outbox.Entry) error {
	p := &appending{entry: e, waiter: make(chan error, 1)}
	k.async.store.add(p)
	select {
	case err := <-p.waiter:
		return err
	case <-ctx.Done():
	}
	err := cmp.Or(ctx.Err(), context.DeadlineExceeded)
	return &event.Error{Op: "publish", Topic: clip(e.Topic), Reason: reasonOfContext(err), MayHaveBeenSent: true, Cause: err}
}

// limited sets on a context without a deadline the one of every publish.
func (k *keeper) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, k.state.timeout())
}

// append brings a batch into the store. What the store does not take together it
// may take one by one: neither want of room nor one bad message is the fault of
// the others.
func (a *appender) append(batch []*appending) {
	ctx, cancel := context.WithTimeout(context.Background(), a.keeper.state.timeout())
	defer cancel()
	entries := make([]*outbox.Entry, 0, len(batch))
	for _, p := range batch {
		entries = append(entries, p.entry)
	}
	store := a.keeper.store
	err := store.Append(ctx, entries...)
	apart := len(entries) > 1 && err != nil && !errors.Is(err, outbox.ErrClosed) && ctx.Err() == nil
	for _, p := range batch {
		if apart && ctx.Err() == nil {
			err = store.Append(ctx, p.entry)
		}
		p.err = a.keeper.appended(ctx, p.entry.Topic, err)
		if p.waiter != nil {
			p.waiter <- p.err
		} else {
			a.calls.add(p)
		}
	}
}

// call makes room before the callbacks, which may publish.
func (a *appender) call(batch []*appending) {
	for _, p := range batch {
		if p.roomy {
			<-a.room
		}
	}
	for _, p := range batch {
		a.keeper.state.protect("publish callback", func() { p.done(p.err) })
	}
}

// wait returns when every publish has its outcome and callback, or ctx ends.
func (a *appender) wait(ctx context.Context) {
	a.store.wait(ctx)
	a.calls.wait(ctx)
}
