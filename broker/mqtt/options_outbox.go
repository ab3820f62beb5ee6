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

// OutboxHold keeps messages in the store after their acknowledgement, to be sent
// again, as the same messages, when the connection is lost meanwhile: for brokers
// that acknowledge before they save, twice the time that they take to. Default: 0.
func OutboxHold(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.Hold = d }
}

// OutboxDirect lets a publish go past the store while nothing waits there and the
// broker is connected: it is accepted with the broker's acknowledgement, which spares
// the disk. When that does not come within d, or half of the caller's time, or nothing
// may be sent, the message is stored as ever, under the same id, and so are those after it until the store is
// empty again: the order stays. It needs a store that counts in memory
// (outbox.Counter, as those of file and memory do), and has no effect with
// OutboxHold, with numbered messages, within a transaction and on asynchronous
// publishes. Default: 0, everything is stored first.
func OutboxDirect(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.Direct = d }
}

// OutboxPollInterval is how often the store is looked at without a hint that
// there is something, as with a table that other processes write to. Default:
// 1 s.
func OutboxPollInterval(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.Poll = d }
}

// OutboxSubscriptions holds everything back while the subscriptions that this
// process itself needs are not granted in the present session: a broker takes
// and drops what nobody has subscribed to, also after it lost its sessions. They
// are those of a Server or Broker, which tells of each change; nothing is polled.
//
// The gate closes with each change of theirs, and with each publishing connection
// that is lost or comes up, and opens when every filter is granted and the broker
// has confirmed that after the last change. What the broker acknowledged while it
// was closed is judged then: it stays delivered when the session is still that of
// the sending, and is sent again, as the same message, when the broker had lost
// it. An answer of MQTT 5 that nobody subscribes to a topic that they match
// closes it, too. event.OutboxHealth.HeldBack is set meanwhile. A filter that the
// broker refuses keeps it closed, and so does the lack of any subscription until
// there was a first one. Default: none.
func OutboxSubscriptions(s event.Subscriptions) OutboxOption {
	return func(o *client.Outbox) { o.Subscriptions = s }
}

// OutboxOwnSubscriptions is [OutboxSubscriptions] with those of this broker
// itself.
func OutboxOwnSubscriptions() OutboxOption {
	return func(o *client.Outbox) { o.Own = true }
}

// OutboxGate holds everything back until gate returns nil: after Connect, and
// again after each publishing connection that is lost or comes up, with which the
// broker's sessions may have gone. What the broker acknowledged meanwhile is sent
// again, as the same message. An error is logged, and gate asked again after 1 s.
// Its context ends with Disconnect. For subscriptions of this process see
// [OutboxSubscriptions], which counts over it. Default: none.
func OutboxGate(gate func(ctx context.Context) error) OutboxOption {
	return func(o *client.Outbox) { o.Gate = gate }
}

// OutboxBacklog keeps messages that this process subscribes to itself in the store
// while it has not handled enough of those before them, so that it is the store that
// fills up, and publishes that are refused, and not the broker's memory. b is a hook
// of the subscriber, too. Messages of other topics go on. Default: none.
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

// OutboxRefusedLimit is how long the broker may refuse a message before it is put
// aside in the store, which lets the messages behind it go on, and attempts how
// often; 0 is the default. One that ends connections (event.Error.Convicted), and
// one that is over limits of ours, is put aside at once. Default: 1 h and any number
// of attempts for NOT_AUTHORIZED, REFUSED and BAD_TOPIC; without end for
// QUOTA_EXCEEDED, and for TOO_LARGE and UNSUPPORTED of the broker
// (event.Error.ByBroker), which are no fault of the message.
func OutboxRefusedLimit(d time.Duration, attempts int) OutboxOption {
	return func(o *client.Outbox) { o.RefusedLimit, o.RefusedAttempts = d, attempts }
}

// OutboxConfig applies what the configuration of a service says about how an
// outbox sends: hold, refused_limit, refused_attempts and unrouted. Where the
// messages are kept, and the bounds of that, belong to the store, but a driver
// that there is not is an error. nil changes nothing.
func OutboxConfig(c *v1.Outbox) OutboxOption {
	return func(o *client.Outbox) { o.Configure(c) }
}
