package mqtt

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/bridge"
)

// Outbox accepts publishes at QoS 1 and 2 into a store, and sends them from
// there between Start and Stop: Publish returns nil once the store has the
// message, also before Start and while the broker is down. What cannot be sent
// at all (topic, size, codec, headers) is refused before. A full store is an
// error of reason OUTBOX_FULL at once, any other failure of it OUTBOX_FAILED.
// Asynchronous publishes call back when the store has them, and go there many at
// a time. event.PublishHook is told of the acceptance.
//
// The context of Publish reaches the store: one that carries a transaction
// (event/sqltx) makes the message part of it, with a store of SQL.
//
// Messages of one topic, or ordering key, are sent in the order of acceptance,
// and again until the broker acknowledges them, QoS 2 too: subscribers know them
// by their id. With several connections messages of one key on different topics
// may overtake each other. What can never be sent is quarantined in the store,
// logged, and told to event.OutboxHook, like a store that is full or fails. An
// expiry goes on in the outbox, but for its last second.
//
// QoS 0, what is published directly, requests and replies go past the outbox, and
// may overtake it. Stop sends what it can within its time while there is a
// connection; the rest stays in the store, is counted in the log, and is sent
// after the next start. The store is the caller's: it is not closed. Default:
// none.
func Outbox(store outbox.Store, opts ...OutboxOption) ServerOption {
	return set(func(s *bridge.Settings) { s.SetOutbox(store, opts) })
}

// OutboxOption is an option of [Outbox].
type OutboxOption = bridge.OutboxOption

// OutboxHold keeps messages in the store after their acknowledgement, to be sent
// again, as the same messages, when the connection is lost meanwhile: for brokers
// that acknowledge before they save, twice the time that they take to. Default: 0.
func OutboxHold(d time.Duration) OutboxOption {
	return func(o *bridge.Outbox) { o.Hold = d }
}

// OutboxPollInterval is how often the store is looked at without a hint that
// there is something, as with a table that other processes write to. Default:
// 1 s.
func OutboxPollInterval(d time.Duration) OutboxOption {
	return func(o *bridge.Outbox) { o.Poll = d }
}

// OutboxGate holds everything back until gate returns nil, each time after
// Start: until this service's own subscriptions are granted, for one. An error
// is logged, and gate asked again after 1 s. Its context ends with Stop. Default:
// none.
func OutboxGate(gate func(ctx context.Context) error) OutboxOption {
	return func(o *bridge.Outbox) { o.Gate = gate }
}
