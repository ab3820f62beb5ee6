package parking

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Settings say where messages are kept and who is told. They do not change. All are
// required but Topic, Keys, and the hooks.
type Settings struct {
	// Store has dead letters and parked messages.
	Store deadletter.Store
	// Service is in each of them.
	Service string
	// ClientID names the owner of what is parked.
	ClientID string
	// Topic is where dead letters are published, too; "" is nowhere.
	Topic string
	// Keys sign what is published there.
	Keys deadletter.Keys
	// StoreTimeout bounds one call of the store.
	StoreTimeout time.Duration
	// BlockOverShare leaves a message unacknowledged whose dead letter is over the
	// share of its origin, instead of dropping it.
	BlockOverShare bool
	// ParkLimit is how long a parked message is handled again before it is a dead
	// letter.
	ParkLimit time.Duration
	// ReportEvery is how often is told which keys wait, and looked for what other
	// processes left.
	ReportEvery time.Duration

	// Publish returns nil once the broker has a message.
	Publish func(ctx context.Context, m *session.Message) error
	// Protocol returns the version that the broker speaks.
	Protocol func(ctx context.Context) (session.Protocol, error)
	// Orphan makes the delivery of a parked message that no subscription here handles.
	Orphan func(k *Kept) Delivery

	// Log takes what an operator has to know.
	Log logsafe.Logger
	// Call calls a function of the user's, and logs its panic.
	Call func(f func())

	// DeadLettered is told of each dead letter that its store has.
	DeadLettered func(event.DeadLetterInfo)
	// Parked is told of each message that was parked.
	Parked func(event.ParkInfo)
	// Retrying is told of an attempt at a parked message that failed.
	Retrying func(event.RetryInfo)
	// Held is told, now and then, of the keys that most messages wait for.
	Held func(h event.HeldKey)
}

// Totals are what a client remembers from one Start to the next: counts, ids, and
// which lines its log had. The zero value is ready.
type Totals struct {
	// Discarded were acknowledged unhandled, and are nowhere.
	Discarded atomic.Int64
	// TopicFailed are dead letters that did not reach their topic.
	TopicFailed atomic.Int64
	// Cut are dead letters that have not all of their message.
	Cut atomic.Int64
	// Lost are messages of which the store took no form, discarded.
	Lost atomic.Int64
	// OverShare are messages whose origin has its share of the store, discarded.
	OverShare atomic.Int64

	ids           deadletter.IDs
	overShareLine logsafe.PerMinute

	// Lines about messages that were not handled, about stores that fail, about parked
	// ones, and about the topic.
	fates, failures, retries, topics logsafe.Few
}

// origin is whose message it is, by what access rules guard of its topic.
func origin(d Delivery) string {
	var l deadletter.Letter
	l.Topic, l.Filter = d.Message().Topic, d.Filter()
	return l.Origin()
}
