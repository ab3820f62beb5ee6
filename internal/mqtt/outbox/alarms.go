package outbox

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/queue"
)

// alarms reports problems of the outbox, each once until it is over.
type alarms struct {
	store outbox.Store
	link  *Link

	full   atomic.Bool // the last message was refused
	logged atomic.Bool // that it is full, since it was last below the low mark
	broken atomic.Bool

	unrouted, expired atomic.Int64 // messages
	known             atomic.Pointer[event.OutboxHealth]
	// calls read the health of the store and pass it to the hooks, on a goroutine of their
	// own: a slow store delays no message.
	calls   *queue.Queue[func()]
	waiting atomic.Int64 // calls
	leftOut logsafe.PerMinute

	expiredLog logsafe.PerMinute
	awaitsLog  logsafe.PerMinute
}

func newAlarms(store outbox.Store, l *Link) *alarms {
	a := &alarms{store: store, link: l}
	a.calls = queue.New(a.call)
	return a
}

// appended records the result of appending a publish.
func (a *alarms) appended(ctx context.Context, err error) {
	switch {
	case err == nil:
		if a.full.Load() {
			a.full.Store(false)
		}
		a.works()
	case errors.Is(err, outbox.ErrFull):
		if a.full.CompareAndSwap(false, true) {
			if a.logged.CompareAndSwap(false, true) { // at its bound it is full many times a second
				a.link.Log.Errorf("mqtt: the outbox is full: publishes are refused")
			}
			a.tell(event.OutboxInfo{Kind: event.OutboxFull, Err: err})
		}
	case ctx.Err() == nil:
		a.failed(err)
	}
}

func (a *alarms) failed(err error) {
	if a.broken.CompareAndSwap(false, true) {
		a.link.Log.Errorf("mqtt: the outbox fails: %v", err)
		a.tell(event.OutboxInfo{Kind: event.OutboxFailed, Err: err})
	}
}

func (a *alarms) works() {
	if a.broken.Load() && a.broken.CompareAndSwap(true, false) {
		a.link.Log.Infof("mqtt: the outbox works again")
	}
}

// observe returns the functions that the relay calls.
func (a *alarms) observe() relay.Observe {
	return relay.Observe{
		Taken: func() {
			a.link.Log.Warnf("mqtt: the outbox stands by: another Broker or Server of this process was given the same store, and sends what is in it until it stops; want a store for each")
		},
		Failed: a.failed,
		Works:  a.works,
		High: func(s outbox.Stats) {
			a.link.Log.Warnf("mqtt: the outbox is %.0f %% full: %d messages", 100*s.Fill(), s.Depth)
			a.tellStats(event.OutboxHigh, s)
		},
		Low: func(s outbox.Stats) {
			a.logged.Store(false)
			a.link.Log.Infof("mqtt: the outbox is %.0f %% full again: %d messages", 100*s.Fill(), s.Depth)
			a.tellStats(event.OutboxLow, s)
		},
		Quarantined: func(e *outbox.Entry, err error) {
			a.link.Log.Errorf("mqtt: a message cannot be sent and is put aside: topic %q, id %q: %v", logsafe.Clip(e.Topic), logsafe.Clip(e.ID), err)
			a.tell(event.OutboxInfo{Kind: event.OutboxQuarantined, Topic: e.Topic, ID: e.ID, Err: err})
		},
		Refused: func(k relay.ClosedKey) {
			a.link.Log.Warnf("mqtt: the broker refuses a message, and others of its order wait behind it: topic %q, id %q, %d attempts since %s (said once a minute for each reason): %v",
				logsafe.Clip(k.Topic), logsafe.Clip(k.ID), k.Attempts, k.Since.Format(time.RFC3339), k.Err)
			a.tell(event.OutboxInfo{Kind: event.OutboxRefused, Topic: k.Topic, ID: k.ID, Err: k.Err})
		},
		Unanswered: func(k relay.ClosedKey) {
			a.link.Log.Warnf("mqtt: the broker does not acknowledge a message, and others of its order wait behind it: topic %q, id %q, %d attempts since %s (said once a minute): %v",
				logsafe.Clip(k.Topic), logsafe.Clip(k.ID), k.Attempts, k.Since.Format(time.RFC3339), k.Err)
			a.tell(event.OutboxInfo{Kind: event.OutboxUnanswered, Topic: k.Topic, ID: k.ID, Err: k.Err})
		},
		QuarantineFull: func(k relay.ClosedKey) {
			a.link.Log.Errorf("mqtt: a message cannot be put aside, as too many are, of all or of its order: topic %q, id %q waits with others of its order behind it (said once a minute for either): %v",
				logsafe.Clip(k.Topic), logsafe.Clip(k.ID), k.Err)
			a.tell(event.OutboxInfo{Kind: event.OutboxQuarantineFull, Topic: k.Topic, ID: k.ID, Err: k.Err})
		},
		Corrupt: func(n int) {
			a.link.Log.Errorf("mqtt: %d messages in the outbox cannot be read and are put aside", n)
			for range n {
				a.tell(event.OutboxInfo{Kind: event.OutboxQuarantined, Err: errCorrupt})
			}
		},
	}
}

var errCorrupt = errors.New("the entry cannot be decoded")

func (a *alarms) tellStats(kind event.OutboxKind, s outbox.Stats) {
	a.later(func() { a.hook(event.OutboxInfo{Kind: kind, Health: healthOf(s, nil)}) })
}

// tell reports an event with the current health of the store, if there is a hook.
func (a *alarms) tell(info event.OutboxInfo) {
	a.later(func() {
		ctx, cancel := context.WithTimeout(context.Background(), healthTimeout)
		defer cancel()
		s, err := a.store.Stats(ctx)
		info.Health = healthOf(s, err)
		a.hook(info)
	})
}

// hasExpired reports a message that expired in the outbox.
func (a *alarms) hasExpired(e *outbox.Entry) {
	n := a.expired.Add(1)
	if a.expiredLog.Due(time.Now()) {
		a.link.Log.Warnf("mqtt: a message expired in the outbox and is dropped: topic %q, id %q, expiry %v (%d so far; said once a minute)",
			logsafe.Clip(e.Topic), logsafe.Clip(e.ID), e.Expiry, n)
	}
	a.tellAtOnce(event.OutboxInfo{Kind: event.OutboxExpired, Topic: e.Topic, ID: e.ID})
}

// awaitsSubscriber reports a message that is kept until there is a subscriber.
func (a *alarms) awaitsSubscriber(e *outbox.Entry) {
	if a.awaitsLog.Due(time.Now()) {
		a.link.Log.Warnf("mqtt: the broker has no subscriber for topic %q: the message stays in the outbox until there is one, for %v at most, and others of its order wait behind it (said once a minute)",
			logsafe.Clip(e.Topic), e.RetryUnrouted)
	}
}

// hasNoSubscriber reports a message that was sent although nobody subscribes to it.
func (a *alarms) hasNoSubscriber(e *outbox.Entry) {
	a.link.Unrouted(e.Topic)
	a.unrouted.Add(1)
	a.tellAtOnce(event.OutboxInfo{Kind: event.OutboxUnrouted, Topic: e.Topic, ID: e.ID})
}

// tellAtOnce reports an event with the last known health: events of many messages must not
// query the store each.
func (a *alarms) tellAtOnce(info event.OutboxInfo) {
	unrouted, expired := a.unrouted.Load(), a.expired.Load()
	a.later(func() {
		if h := a.known.Load(); h != nil {
			info.Health = *h
		}
		info.Health.Unrouted, info.Health.Expired = unrouted, expired
		a.hook(info)
	})
}

// later queues a call of the hooks, in order. When the store is so slow that too many
// calls wait, calls are dropped.
func (a *alarms) later(call func()) {
	if a.link.Hook == nil {
		return
	}
	if a.waiting.Add(1) > maxCalls {
		a.waiting.Add(-1)
		if a.leftOut.Due(time.Now()) {
			a.link.Log.Warnf("mqtt: the store of the outbox is slow: hooks are not told of everything (said once a minute)")
		}
		return
	}
	a.calls.Add(call)
}

func (a *alarms) call(batch []func()) {
	for _, call := range batch {
		call()
		a.waiting.Add(-1)
	}
}

func (a *alarms) hook(info event.OutboxInfo) {
	a.known.Store(&info.Health)
	a.link.Hook(info)
}

// maxCalls is the maximum number of calls that wait for a slow store, and callGrace how
// long the last ones may take after the end of the context.
const (
	maxCalls  = 10_000
	callGrace = 100 * time.Millisecond
)

// wait returns when all events were reported to the hooks, or soon after ctx ends.
func (a *alarms) wait(ctx context.Context) { a.calls.Wait(ctx, callGrace) }
