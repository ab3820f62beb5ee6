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

// WithOutbox stores messages of QoS 1 and 2 before they are sent. Publish returns nil once
// the store has the message, also before Connect and while the broker is down; what is
// stored is sent between Connect and Disconnect. A message that can never be sent (topic,
// size, codec, headers) is refused at once. A full store is an error of reason
// OUTBOX_FULL, any other failure of the store one of reason OUTBOX_FAILED. Asynchronous
// publishes are stored many at a time, and their callback is called once the store has
// them. event.PublishHook receives the result of storing.
//
// The context of Publish reaches the store: if it has a transaction (event/sqltx), an SQL
// store makes the message part of it.
//
// Messages of one topic, or of one ordering key, are sent in the order in which they were
// stored, and again until the broker acknowledges them, also at QoS 2: subscribers
// recognize a repeated message by its id. With several connections, messages of one key on
// different topics may overtake each other. What can go wrong with one message:
//   - It turns out to be impossible to send: it is quarantined in the store.
//   - The broker refuses it: later messages of its key wait, and it is quarantined after
//     [OutboxRefusedLimit].
//   - The broker does not acknowledge it: later messages of its key wait, and it is sent
//     again without end.
//   - Its expiry passes, which also runs in the outbox and on MQTT 3.1.1: it is dropped
//     and counted.
//
// Each of these is reported to event.OutboxHook, and so is a store that is full or fails.
//
// QoS 0 messages, event.SkipOutbox, requests and replies bypass the outbox and may overtake
// it. Disconnect sends what it can within its time while there is a connection; the rest
// stays in the store, is counted in the log, and is sent after the next start. The store
// belongs to the caller and is not closed. If brokers and servers of a process share a
// store, which is logged, one of them sends all messages in it, with its own options and
// connection, until it stops; another takes over within the poll interval. Default: none.
func WithOutbox(store outbox.Store, opts ...OutboxOption) broker.Option {
	return with(func(s *client.Settings) {
		s.Outbox = &client.Outbox{Store: store}
		for _, o := range opts {
			if o != nil {
				o(s.Outbox)
			}
		}
	})
}

// OutboxOption is an option of [WithOutbox].
type OutboxOption func(*outboxSettings)

type outboxSettings = client.Outbox

// OutboxKeepAcknowledged keeps messages in the store for d after their acknowledgement, and sends
// them again, as the same messages, if the connection is lost meanwhile. It is meant
// for brokers that acknowledge before they save; set it to twice the time that saving
// takes. Default: 0.
func OutboxKeepAcknowledged(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.KeepAcknowledged = d }
}

// OutboxSkipWhenEmpty lets a publish bypass the store while the store is empty and the broker
// is connected: it is accepted with the broker's acknowledgement, which saves disk
// writes. If the acknowledgement does not come within d or half of the caller's time,
// or nothing may be sent, the message is stored under the same id, and so are later
// ones until the store is empty again, so the order is kept. It requires a store that
// counts in memory (outbox.Counter, as those of file and memory), and has no effect
// with OutboxKeepAcknowledged, numbered messages, transactions and asynchronous publishes. Default:
// 0, everything is stored first.
func OutboxSkipWhenEmpty(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.SkipWhenEmpty = d }
}

// OutboxPollInterval sets how often the store is checked for messages that were not
// announced, such as rows that other processes insert. Default: 1 s.
func OutboxPollInterval(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.Poll = d }
}

// OutboxSubscriptions makes the outbox wait for subscriptions of this process, because a
// broker accepts and drops messages that nobody subscribes to, for example after it lost
// its sessions. s is a Server or Broker, which reports each change.
//
// Nothing is sent while the gate is closed. The gate closes when the subscriptions change,
// when a publishing connection is lost or established, and when the broker answers on
// MQTT 5 that a topic has no subscribers although a filter of s matches it. It opens when
// every filter is granted and the broker has answered a packet that was sent afterwards. A
// filter that the broker refuses keeps it closed, and so does a service without any
// subscription. event.OutboxHealth.GateClosed is set meanwhile.
//
// A message that the broker acknowledged while the gate was closed is not deleted before
// it opens. Then it counts as delivered if the session is still the same, and is sent
// again, as the same message, if the broker had lost the session. Default: none.
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

// OutboxWhenUnrouted sets what happens to the messages of one operation,
// /package.Service/Method, that the broker has no subscriber for. It takes precedence
// over the method's own option; event.RetryUnrouted of a call takes precedence over it.
// Default: they count as delivered, and are counted, reported to event.OutboxHook and
// logged once a minute.
func OutboxWhenUnrouted(operation string, u event.Unrouted) OutboxOption {
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
