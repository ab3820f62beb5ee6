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

// Settings configure where messages are kept and what is called. They do not change. All
// fields are required except Topic, Keys and the hooks.
type Settings struct {
	// Store keeps dead letters and parked messages.
	Store deadletter.Store
	// Service is the service name in each of them.
	Service string
	// ClientID is the owner of parked messages.
	ClientID string
	// Topic is the topic on which dead letters are published in addition to the store, or
	// "" for no topic.
	Topic string
	// Keys sign the dead letters published there.
	Keys deadletter.SigningKeys
	// StoreTimeout bounds one call of the store.
	StoreTimeout time.Duration
	// BlockOverShare leaves a message unacknowledged if its dead letter exceeds the share
	// of its origin. By default such a message is dropped.
	BlockOverShare bool
	// ParkLimit is how long a parked message is retried before it becomes a dead letter.
	ParkLimit time.Duration
	// ReportEvery is the interval at which waiting keys are reported, and messages left by
	// other processes are looked for.
	ReportEvery time.Duration

	// Publish publishes a message, and returns nil when the broker has acknowledged it.
	Publish func(ctx context.Context, m *session.Message) error
	// Protocol returns the protocol version of the connection.
	Protocol func(ctx context.Context) (session.Protocol, error)
	// Orphan creates the delivery of a parked message that no subscription of this process
	// handles.
	Orphan func(k *Kept) Delivery

	// Log receives what an operator needs to know.
	Log logsafe.Log
	// Call calls a user's function, and logs its panic.
	Call func(f func())

	// DeadLettered receives each dead letter that was stored.
	DeadLettered func(event.DeadLetterInfo)
	// Parked receives each message that was parked.
	Parked func(event.ParkInfo)
	// Retrying receives each failed attempt at a parked message.
	Retrying func(event.RetryInfo)
	// Held receives, periodically, the keys with the most waiting messages.
	Held func(h event.ParkedKey)
}

// Totals are the counts and ids that a client keeps from one Start to the
// next. The zero value is ready to use.
type Totals struct {
	// Discarded counts messages that were acknowledged without being handled or stored.
	Discarded atomic.Int64
	// TopicFailed counts dead letters that did not reach their topic.
	TopicFailed atomic.Int64
	// Cut counts dead letters that lack a part of their message.
	Cut atomic.Int64
	// Lost counts messages that were discarded because the store refused them in every
	// form.
	Lost atomic.Int64
	// OverShare counts messages that were discarded because their origin has used up its
	// share of the store.
	OverShare atomic.Int64

	lostAt atomic.Pointer[time.Time]
	ids    deadletter.IDs
}

// LostAt is when a message was last counted in Lost or OverShare; zero if none was.
func (t *Totals) LostAt() time.Time {
	if at := t.lostAt.Load(); at != nil {
		return *at
	}
	return time.Time{}
}

// origin is the sender of a message: the part of its topic that access rules guard.
func origin(d Delivery) string {
	var l deadletter.Letter
	l.Topic, l.Filter = d.Message().Topic, d.Filter()
	return l.Origin()
}
