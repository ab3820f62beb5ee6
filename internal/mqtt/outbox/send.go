package outbox

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// sender publishes entries, and judges what becomes of them.
type sender struct {
	link    *Link
	gate    *gate
	alarms  *alarms
	backlog *event.Backlog
}

// attempt is one at sending an entry.
type attempt struct {
	*sender
	entry    *outbox.Entry
	session  uint64 // of the subscriptions, when it was sent
	unrouted atomic.Bool
	done     func(error)
}

// errUnrouted is why an entry is sent again that the broker took for nobody.
var errUnrouted = errors.New("the broker has no subscriber for the topic")

// awaited reports whether an entry waits for somebody to subscribe.
func awaited(err error) bool { return errors.Is(err, errUnrouted) }

// errApart is why an entry waits although others are sent.
var errApart = errors.New("the connection of this topic is down")

// errBehind is why an entry waits that this process would itself have to handle.
var errBehind = errors.New("this process has not handled enough of what it has sent to itself")

// errHeldBack is why nothing was sent.
var errHeldBack = errors.New("the outbox is held back")

// errNotGranted is why an acknowledged message is sent again.
var errNotGranted = &event.Error{
	Op: "publish", Reason: event.ReasonSessionLost, MayHaveBeenSent: true,
	Cause: errors.New("acknowledged by a broker that had lost the subscriptions of this process"),
}

// take reports whether an entry has room in the backlog of this process, and returns the
// function that releases it.
func (s *sender) take(e *outbox.Entry) (back func(), ok bool) {
	b := s.backlog
	if b == nil {
		return func() {}, true
	}
	if !b.Take(e.Topic, len(e.Payload)) {
		return nil, false
	}
	return func() { b.Return(e.Topic, len(e.Payload)) }, true
}

// send publishes an entry for the relay.
func (s *sender) send(ctx context.Context, e *outbox.Entry, done func(error)) error {
	session, err := s.gate.wait(ctx)
	if err != nil {
		return failed(e.Topic, reasonOf(err), errHeldBack)
	}
	if s.link.Apart(e.Topic) { // only entries of its key wait
		return errApart
	}
	if e.Expiry > 0 && time.Since(e.Accepted) >= e.Expiry {
		return s.expired(e, done)
	}
	back, ok := s.take(e)
	if !ok {
		return errBehind
	}
	a := &attempt{sender: s, entry: e, session: session, done: func(err error) {
		if err != nil {
			back()
		}
		done(err)
	}}
	err = s.link.Relay(ctx, e, a.noSubscriber, a.outcome)
	if err != nil {
		back()
	}
	if errors.Is(err, ErrExpired) { // while it waited for a connection, or for room
		return s.expired(e, done)
	}
	return err
}

// ErrExpired is the error of [Link.Relay] for an entry that expired before it was sent.
var ErrExpired = errors.New("the entry expired before it was sent")

// expired drops an entry that expired.
func (s *sender) expired(e *outbox.Entry, done func(error)) error {
	s.alarms.hasExpired(e)
	done(nil)
	return nil
}

// noSubscriber notes that no subscription matched.
func (a *attempt) noSubscriber() { a.unrouted.Store(true) }

// outcome takes the broker's outcome of the attempt.
func (a *attempt) outcome(err error) {
	if err != nil {
		a.done(err)
		return
	}
	a.gate.judge(a.session, a.doubt(), a.acknowledged)
}

// doubt reports whether the broker had no subscriber for a topic that this process
// subscribes to: its session was lost.
func (a *attempt) doubt() bool {
	g := a.gate
	return a.unrouted.Load() && g != nil && g.subs != nil && g.subs.Subscribes(a.entry.Topic)
}

// acknowledged ends the attempt; delivered reports whether the acknowledgement counts.
func (a *attempt) acknowledged(delivered bool) {
	switch e := a.entry; {
	case !delivered:
		a.done(errNotGranted)
	case !a.unrouted.Load():
		a.done(nil)
	case time.Since(e.Accepted) < e.RetryUnrouted:
		a.alarms.awaitsSubscriber(e)
		a.done(errUnrouted)
	default:
		a.alarms.hasNoSubscriber(e)
		a.done(nil)
	}
}
