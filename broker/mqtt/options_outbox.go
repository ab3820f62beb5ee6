package mqtt

import (
	"context"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithOutbox accepts publishes at QoS 1 and 2 into a store, and sends them from there
// between Connect and Disconnect. Publish returns nil once the store has the message,
// also before Connect and while the broker is down. A message that can never be sent
// (topic, size, codec, headers) is refused before it is stored. A full store is an
// immediate error of reason OUTBOX_FULL, any other failure of the store one of reason
// OUTBOX_FAILED. Asynchronous publishes are stored many at a time, and their callback
// runs once the store has them. The acceptance is reported to event.PublishHook.
//
// The context of Publish reaches the store: a context that carries a transaction
// (event/sqltx) makes the message part of it, with an SQL store.
//
// Messages of one topic, or ordering key, are sent in the order of acceptance, and sent
// again until the broker acknowledges them, also at QoS 2: subscribers recognize
// repeated messages by their id. With several connections, messages of one key on
// different topics may overtake each other. A message that turns out to be unsendable
// is quarantined in the store, logged, and reported to event.OutboxHook, as is a store
// that is full or fails. A message that the broker refuses holds back its key, is
// reported, and is quarantined after [OutboxRefusedLimit]. A message that the broker
// does not acknowledge holds back its key, is reported, and is retried without end. An
// expiry keeps running in the outbox, also on MQTT 3.1.1: an expired message is
// dropped, counted and reported.
//
// QoS 0 messages, direct publishes, requests and replies bypass the outbox and may
// overtake it. Disconnect sends what it can within its time while there is a
// connection; the rest stays in the store, is counted in the log, and is sent after the
// next start. The store is the caller's: it is not closed. Several brokers and servers
// of a process may share one store: the first sends all messages in it, with its own
// options and connection, until it stops; then the next one takes over within the poll
// interval. Sharing is logged, since each usually has a store of its own. Default:
// none.
func WithOutbox(store outbox.Store, opts ...OutboxOption) broker.Option {
	return WithSettings(func(s *client.Settings) { s.SetOutbox(store, opts) })
}

// OutboxOption is an option of [WithOutbox].
type OutboxOption = client.OutboxOption

// OutboxHold keeps messages in the store for d after their acknowledgement, and sends
// them again, as the same messages, if the connection is lost meanwhile. It is meant
// for brokers that acknowledge before they save; set it to twice the time that saving
// takes. Default: 0.
func OutboxHold(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.Hold = d }
}

// OutboxDirect lets a publish bypass the store while the store is empty and the broker
// is connected: it is accepted with the broker's acknowledgement, which saves disk
// writes. If the acknowledgement does not come within d or half of the caller's time,
// or nothing may be sent, the message is stored under the same id, and so are later
// ones until the store is empty again, so the order is kept. It requires a store that
// counts in memory (outbox.Counter, as those of file and memory), and has no effect
// with OutboxHold, numbered messages, transactions and asynchronous publishes. Default:
// 0, everything is stored first.
func OutboxDirect(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.Direct = d }
}

// OutboxPollInterval sets how often the store is checked for messages that were not
// announced, such as rows that other processes insert. Default: 1 s.
func OutboxPollInterval(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.Poll = d }
}

// OutboxSubscriptions holds back all messages until the subscriptions that this process
// itself needs are granted in the current session: a broker accepts and drops messages
// without subscribers, for example after it lost its sessions. s is a Server or Broker,
// which reports each change; nothing is polled.
//
// The gate closes with each change of the subscriptions, and with each publishing
// connection that is lost or established. It opens when every filter is granted and the
// broker has confirmed that after the last change. Messages that the broker
// acknowledged while the gate was closed are decided then: they count as delivered if
// the session is still the one they were sent in, and are sent again, as the same
// messages, if the broker had lost it. The gate also closes when the broker answers on
// MQTT 5 that a topic has no subscribers although a filter of s matches it.
// event.OutboxHealth.HeldBack is set while the gate is closed. A filter that the broker
// refuses keeps it closed, and so does the lack of any subscription until the first
// one. Default: none.
func OutboxSubscriptions(s event.Subscriptions) OutboxOption {
	return func(o *client.Outbox) { o.Subscriptions = s }
}

// OutboxOwnSubscriptions is [OutboxSubscriptions] with the subscriptions of this
// broker.
func OutboxOwnSubscriptions() OutboxOption {
	return func(o *client.Outbox) { o.Own = true }
}

// OutboxGate holds back all messages until gate returns nil: after Connect, and again
// after each publishing connection that is lost or established, because the broker may
// have lost its sessions. Messages that the broker acknowledged meanwhile are sent
// again, as the same messages. An error is logged, and gate is called again after 1 s.
// Its context ends with Disconnect. For subscriptions of this process use
// [OutboxSubscriptions], which takes precedence. Default: none.
func OutboxGate(gate func(ctx context.Context) error) OutboxOption {
	return func(o *client.Outbox) { o.Gate = gate }
}

// OutboxBacklog limits unhandled messages that this process publishes and also
// subscribes to: further ones stay in the store until enough earlier ones are handled.
// So the store fills up and publishes are refused, instead of the broker's memory
// filling up. b must also be a hook of the subscriber. Messages of other topics are not
// affected. Default: none.
func OutboxBacklog(b *event.Backlog) OutboxOption {
	return func(o *client.Outbox) { o.Backlog = b }
}

// OutboxUnrouted sets what happens to the messages of one operation,
// /package.Service/Method, that the broker has no subscriber for. It takes precedence
// over the method's own option; event.RetryUnrouted of a call takes precedence over it.
// Default: they count as delivered, and are counted, reported to event.OutboxHook and
// logged once a minute.
func OutboxUnrouted(operation string, u event.Unrouted) OutboxOption {
	return func(o *client.Outbox) { o.SetUnrouted(operation, u) }
}

// OutboxRefusedLimit sets how long, and for how many attempts, the broker may refuse a
// message before it is quarantined in the store, so that the messages behind it go on;
// 0 means the default. A message that ends connections (event.Error.Convicted) or
// exceeds limits of this client is quarantined at once. Default: 1 h and any number of
// attempts for NOT_AUTHORIZED, REFUSED and BAD_TOPIC; no limit for QUOTA_EXCEEDED, and
// for TOO_LARGE and UNSUPPORTED of the broker (event.Error.ByBroker), which the message
// does not cause.
func OutboxRefusedLimit(d time.Duration, attempts int) OutboxOption {
	return func(o *client.Outbox) { o.RefusedLimit, o.RefusedAttempts = d, attempts }
}

// OutboxConfig applies the part of a service's configuration on how an outbox sends:
// hold, refused_limit, refused_attempts and unrouted. The location and limits of the
// stored messages belong to the store, but an unknown driver is an error. nil changes
// nothing.
func OutboxConfig(c *v1.Outbox) OutboxOption {
	return func(o *client.Outbox) { o.Configure(c) }
}
