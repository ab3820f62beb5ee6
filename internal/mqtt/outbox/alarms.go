package outbox

import (
	"context"
	"errors"
	"strconv"
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
	case errors.Is(err, outbox.ErrDelayedFull): // there may be room for others
	case errors.Is(err, outbox.ErrFull):
		if a.full.CompareAndSwap(false, true) {
			if a.logged.CompareAndSwap(false, true) { // at its bound it is full many times a second
				a.link.Log.Error("mqtt: the outbox is full: publishes are refused")
			}
			a.tell(event.OutboxInfo{Kind: event.OutboxFull, Err: err})
		}
	case ctx.Err() == nil:
		a.failed(err)
	}
}

func (a *alarms) failed(err error) {
	if a.broken.CompareAndSwap(false, true) {
		a.link.Log.Few("outbox fails", "", func(more []any) {
			a.link.Log.Error("mqtt: the outbox fails", append(more, logsafe.KeyError, err)...)
		})
		a.tell(event.OutboxInfo{Kind: event.OutboxFailed, Err: err})
	}
}

func (a *alarms) works() {
	if a.broken.Load() && a.broken.CompareAndSwap(true, false) {
		a.link.Log.Few("outbox works", "", func(more []any) { a.link.Log.Info("mqtt: the outbox works again", more...) })
	}
}

// observe returns the functions that the relay calls.
func (a *alarms) observe() relay.Observe {
	return relay.Observe{
		Taken: func() {
			a.link.Log.Warn("mqtt: the outbox stands by: another Broker or Server of this process was given the same store, and sends what is in it until it stops; want a store for each")
		},
		Failed: a.failed,
		Works:  a.works,
		High: func(s outbox.Stats) {
			a.link.Log.Warn("mqtt: the outbox is filling up", logsafe.KeyFill, fill(s), logsafe.KeyCount, s.Depth)
			a.tellStats(event.OutboxHigh, s)
		},
		Low: func(s outbox.Stats) {
			a.logged.Store(false)
			a.link.Log.Info("mqtt: the outbox has room again", logsafe.KeyFill, fill(s), logsafe.KeyCount, s.Depth)
			a.tellStats(event.OutboxLow, s)
		},
		Quarantined: func(e *outbox.Entry, err error) {
			topic, id := e.Topic, e.ID
			a.link.Log.Few("quarantined", "", func(more []any) {
				a.link.Log.Error("mqtt: a message cannot be sent and is quarantined", append(more,
					logsafe.KeyTopic, topic, logsafe.KeyMessageID, id, logsafe.KeyError, err)...)
			})
			a.tell(event.OutboxInfo{Kind: event.OutboxQuarantined, Topic: e.Topic, ID: e.ID, Err: err})
		},
		Refused: func(k relay.ClosedKey) {
			a.link.Log.Few("refused", "", func(more []any) {
				a.link.Log.Warn("mqtt: the broker refuses a message, and others of its order wait behind it", append(more, waits(&k)...)...)
			})
			a.tell(event.OutboxInfo{Kind: event.OutboxRefused, Topic: k.Topic, ID: k.ID, Err: k.Err})
		},
		Unanswered: func(k relay.ClosedKey) {
			a.link.Log.Few("unanswered", "", func(more []any) {
				a.link.Log.Warn("mqtt: the broker does not acknowledge a message, and others of its order wait behind it", append(more, waits(&k)...)...)
			})
			a.tell(event.OutboxInfo{Kind: event.OutboxUnanswered, Topic: k.Topic, ID: k.ID, Err: k.Err})
		},
		QuarantineFull: func(k relay.ClosedKey) {
			a.link.Log.Few("quarantine full", "", func(more []any) {
				a.link.Log.Error("mqtt: a message cannot be quarantined, as too many are, of all or of its order, and others wait behind it", append(more, waits(&k)...)...)
			})
			a.tell(event.OutboxInfo{Kind: event.OutboxQuarantineFull, Topic: k.Topic, ID: k.ID, Err: k.Err})
		},
		Corrupt: func(n int) {
			a.link.Log.Error("mqtt: messages in the outbox cannot be read and are quarantined", logsafe.KeyCount, n)
			for range n {
				a.tell(event.OutboxInfo{Kind: event.OutboxQuarantined, Err: errCorrupt})
			}
		},
	}
}

// waits returns the fields of a message that others of its order wait behind.
func waits(k *relay.ClosedKey) []any {
	return []any{
		logsafe.KeyTopic, k.Topic, logsafe.KeyMessageID, k.ID, logsafe.KeyAttempts, k.Attempts,
		logsafe.KeyDuration, time.Since(k.Since), logsafe.KeyError, k.Err,
	}
}

func fill(s outbox.Stats) string { return strconv.FormatFloat(s.Fill(), 'f', 2, 64) }

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
	a.expired.Add(1)
	topic, id, expiry := e.Topic, e.ID, e.Expiry
	a.link.Log.Seldom("expired", func(more []any) {
		a.link.Log.Warn("mqtt: a message expired in the outbox and is dropped", append(more,
			logsafe.KeyTopic, topic, logsafe.KeyMessageID, id, logsafe.KeyDuration, expiry, logsafe.KeyTotal, a.expired.Load())...)
	})
	a.tellAtOnce(event.OutboxInfo{Kind: event.OutboxExpired, Topic: e.Topic, ID: e.ID})
}

// awaitsSubscriber reports a message that is kept until there is a subscriber.
func (a *alarms) awaitsSubscriber(e *outbox.Entry) {
	topic, most := e.Topic, e.RetryUnrouted
	a.link.Log.Seldom("awaits subscriber", func(more []any) {
		a.link.Log.Warn("mqtt: the broker has no subscriber for a message: it stays in the outbox until there is one, and others of its order wait behind it", append(more,
			logsafe.KeyTopic, topic, logsafe.KeyDuration, most)...)
	})
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
		a.link.Log.Seldom("slow outbox", func(more []any) {
			a.link.Log.Warn("mqtt: the store of the outbox is slow: some events are not reported to hooks", more...)
		})
		return
	}
	a.calls.Add(call)
}

func (a *alarms) call(batch []func()) {
	a.calls.Each(batch, func(call func()) {
		a.waiting.Add(-1)
		call()
	})
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
