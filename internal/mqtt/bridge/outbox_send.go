package bridge

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// flight is one attempt to send an entry.
type flight struct {
	keeper   *keeper
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

// errBehind is why an entry waits that this process would have to handle itself.
var errBehind = errors.New("this process has not handled enough of what it has sent to itself")

// take reports whether an entry has room in the backlog of this process, and returns
// what gives it back.
func (k *keeper) take(e *outbox.Entry) (back func(), ok bool) {
	b := k.cfg.Backlog
	if b == nil {
		return func() {}, true
	}
	if !b.Take(e.Topic, len(e.Payload)) {
		return nil, false
	}
	return func() { b.Return(e.Topic, len(e.Payload)) }, true
}

// send publishes an entry for the relay.
func (k *keeper) send(ctx context.Context, e *outbox.Entry, done func(error)) error {
	session, err := k.gate.wait(ctx)
	if err != nil {
		return gateError(e.Topic, err)
	}
	if k.state.client.Apart(e.Topic) { // its key waits, and no other one
		return errApart
	}
	waited := time.Since(e.Accepted)
	if e.Expiry > 0 && waited >= e.Expiry {
		k.alarms.hasExpired(e)
		done(nil)
		return nil
	}
	back, ok := k.take(e)
	if !ok {
		return errBehind
	}
	m := outgoing(e, waited)
	f := &flight{keeper: k, entry: e, session: session, done: func(err error) {
		if err != nil {
			back()
		}
		done(err)
	}}
	m.Unrouted = f.missed
	k.state.number(&m, e.Seq)
	err = k.state.client.Relay(ctx, &m.Message, f.outcome)
	if err != nil {
		back()
	}
	k.state.unplaced()
	return public("publish", e.Topic, err)
}

// outgoing is the message of an entry that has waited.
func outgoing(e *outbox.Entry, waited time.Duration) Message {
	m := Message{Message: *envelope.Outgoing(&e.Message)}
	if m.Properties != nil && m.Properties.Expiry > 0 { // it counts from the publish
		m.Properties.Expiry -= max(0, waited)
	}
	if !m.Identified() {
		m.Identify(e.ID)
	}
	return m
}

// missed notes that no subscription matched; the keeper counts it itself, when
// it is not sent again.
func (f *flight) missed() (again bool) {
	f.unrouted.Store(true)
	return true
}

// outcome is what the broker said.
func (f *flight) outcome(err error) {
	if err != nil {
		f.done(err)
		return
	}
	f.keeper.gate.judge(f.session, f.doubt(), f.acknowledged)
}

// doubt reports whether there is nobody for what this process subscribes to: its
// session is not what it was.
func (f *flight) doubt() bool {
	g := f.keeper.gate
	return f.unrouted.Load() && g != nil && g.subs != nil && g.subs.Subscribes(f.entry.Topic)
}

// acknowledged is told whether the acknowledgement counts.
func (f *flight) acknowledged(delivered bool) {
	switch e := f.entry; {
	case !delivered:
		f.done(errNotGranted)
	case !f.unrouted.Load():
		f.done(nil)
	case time.Since(e.Accepted) < e.RetryUnrouted:
		f.keeper.alarms.awaitsSubscriber(e)
		f.done(errUnrouted)
	default:
		f.keeper.alarms.hasNoSubscriber(e)
		f.done(nil)
	}
}

// retryNow has the relay try at once what waits for the end of a pause.
func (k *keeper) retryNow() {
	k.current().ConnectionUp()
}

// current is the relay of this run, or of the next.
func (k *keeper) current() *relay.Relay {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.relay
}
