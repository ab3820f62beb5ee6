package outbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/sqltx"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// appender appends publishes to the store. Asynchronous publishes are appended in order,
// all that wait in one batch, so that they share one write to disk.
type appender struct {
	store   outbox.Store
	alarms  *alarms
	direct  *direct
	delays  *delays
	timeout func() time.Duration // of a publish whose context has no deadline
	protect func(what string, f func())

	room     chan struct{} // taken until the callback runs
	toStore  *queue.Queue[*appending]
	outcomes *queue.Queue[*appending]
}

// appending is one publish. Its outcome is sent to the waiter, or passed to the callback.
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

func newAppender(store outbox.Store, l *Link, alarms *alarms, d *direct, later *delays) *appender {
	a := &appender{
		store: store, alarms: alarms, direct: d, delays: later, timeout: l.Timeout, protect: l.Protect,
		room: make(chan struct{}, maxAppending),
	}
	a.toStore, a.outcomes = queue.New(a.appendAll), queue.New(a.call)
	return a
}

// append appends an entry to the store, or sends it directly.
func (a *appender) append(ctx context.Context, e *outbox.Entry) error {
	if err := a.check(e); err != nil {
		return err
	}
	ctx, cancel := a.limited(ctx)
	defer cancel()
	if a.toStore.Busy() && sqltx.From(ctx) == nil {
		return a.behind(ctx, e)
	}
	if a.direct.send(ctx, e) {
		return nil
	}
	return a.appended(ctx, e.Topic, a.store.Append(ctx, e))
}

// appendAsync is append without the wait.
func (a *appender) appendAsync(ctx context.Context, e *outbox.Entry, done func(error)) error {
	if err := a.check(e); err != nil {
		return err
	}
	ctx, cancel := a.limited(ctx)
	defer cancel()
	if sqltx.From(ctx) != nil {
		err := a.appended(ctx, e.Topic, a.store.Append(ctx, e))
		if err == nil {
			a.outcomes.Add(&appending{entry: e, done: done})
		}
		return err
	}
	select {
	case a.room <- struct{}{}:
	case <-ctx.Done():
		return failed(e.Topic, reasonOf(ctx.Err()), ctx.Err())
	}
	a.toStore.Add(&appending{entry: e, done: done, roomy: true})
	return nil
}

// behind appends an entry after the asynchronous publishes before it, so that messages
// published one after the other by one goroutine stay in order. It takes no room in the
// queue: a callback that publishes could otherwise wait for room that it holds itself.
func (a *appender) behind(ctx context.Context, e *outbox.Entry) error {
	p := &appending{entry: e, waiter: make(chan error, 1)}
	a.toStore.Add(p)
	select {
	case err := <-p.waiter:
		return err
	case <-ctx.Done():
	}
	err := failed(e.Topic, reasonOf(ctx.Err()), ctx.Err())
	err.MayHaveBeenSent = true
	return err
}

// limited returns ctx with the default deadline of a publish if it has no deadline.
func (a *appender) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, a.timeout())
}

// appendAll appends a batch to the store. If the store refuses the batch, its entries are
// appended one by one: lack of room or one bad message must not fail the others.
func (a *appender) appendAll(batch []*appending) {
	ctx, cancel := context.WithTimeout(context.Background(), a.timeout())
	defer cancel()
	entries := make([]*outbox.Entry, 0, len(batch))
	for _, p := range batch {
		entries = append(entries, p.entry)
	}
	err := a.store.Append(ctx, entries...)
	apart := len(entries) > 1 && err != nil && !errors.Is(err, outbox.ErrClosed) && ctx.Err() == nil
	for _, p := range batch {
		if apart && ctx.Err() == nil {
			err = a.store.Append(ctx, p.entry)
		}
		p.err = a.appended(ctx, p.entry.Topic, err)
		if p.waiter != nil {
			p.waiter <- p.err
		} else {
			a.outcomes.Add(p)
		}
	}
}

// call releases the room before it calls the callbacks, which may publish.
func (a *appender) call(batch []*appending) {
	for _, p := range batch {
		if p.roomy {
			p.roomy = false
			<-a.room
		}
	}
	a.outcomes.Each(batch, func(p *appending) {
		a.protect("publish callback", func() { p.done(p.err) })
	})
}

// wait returns when every publish has its outcome and callback, or ctx ends.
func (a *appender) wait(ctx context.Context) {
	a.toStore.Wait(ctx, 0)
	a.outcomes.Wait(ctx, 0)
}

// appended turns the error of the store into the error that the publisher receives.
func (a *appender) appended(ctx context.Context, topic string, err error) error {
	a.alarms.appended(ctx, err)
	if err == nil {
		return nil
	}
	e := failed(topic, event.ReasonOutboxFailed, err)
	switch {
	case errors.Is(err, outbox.ErrFull):
		e.Reason = event.ReasonOutboxFull
	case errors.Is(err, outbox.ErrClosed):
	case ctx.Err() != nil:
		e.Reason, e.MayHaveBeenSent = reasonOf(ctx.Err()), true
	default:
		e.MayHaveBeenSent = true
	}
	return e
}

// maxKey is the longest ordering key, in bytes: the maximum length of a topic.
const maxKey = math.MaxUint16

// check returns an error for an entry that some stores cannot keep: one bad key must not
// fail the other entries of its batch.
func (a *appender) check(e *outbox.Entry) error {
	if err := a.delays.checkDue(e); err != nil {
		return err
	}
	if err := cmp.Or(checkKey("ordering key", e.Key), checkKey("id", e.ID)); err != nil {
		return failed(e.Topic, event.ReasonBadRequest, err)
	}
	return nil
}

func checkKey(what, key string) error {
	switch {
	case len(key) > maxKey:
		return fmt.Errorf("%s of %d bytes, want at most %d", what, len(key), maxKey)
	case !utf8.ValidString(key):
		return fmt.Errorf("%s is no UTF-8", what)
	case strings.IndexByte(key, 0) >= 0:
		return fmt.Errorf("%s contains a NUL", what)
	}
	return nil
}
