package mqtt

import (
	"context"
	"time"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// WithOutbox stores messages of QoS 1 and 2 before they are sent. Publish returns nil once the
// store has the message, also before Start and while the broker is down; what is stored is sent
// between Start and Stop, in the order of each topic or ordering key, until the broker acknowledges
// it. A full store is an error of reason OUTBOX_FULL. If the context of a publish has a transaction
// (event/sqltx), an SQL store makes the message part of it. What can never be sent is quarantined;
// event.OutboxHook reports it. The store is not closed. Default: none.
func WithOutbox(store outbox.Store, opts ...OutboxOption) Option {
	return func(s *settings) {
		s.Outbox = &client.Outbox{Store: store}
		for _, o := range opts {
			if o != nil {
				o(s.Outbox)
			}
		}
	}
}

// OutboxOption is an option of [WithOutbox].
type OutboxOption func(*outboxSettings)

type outboxSettings = client.Outbox

// OutboxKeepAcknowledged keeps messages in the store for d after their acknowledgement, and sends
// them again, as the same messages, if the connection is lost meanwhile. Default: 0.
func OutboxKeepAcknowledged(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.KeepAcknowledged = d }
}

// OutboxSkipWhenEmpty lets a publish bypass the store while the store is empty and the broker is
// connected: it is accepted with the broker's acknowledgement, which saves disk writes. Default: 0,
// everything is stored first.
func OutboxSkipWhenEmpty(d time.Duration) OutboxOption {
	return func(o *client.Outbox) { o.SkipWhenEmpty = d }
}

// OutboxPollInterval sets how often the store is checked for messages that were not announced, such
// as rows that other processes insert. Default: 1 s.
func OutboxPollInterval(d time.Duration) OutboxOption { return func(o *client.Outbox) { o.Poll = d } }

// OutboxSubscriptions makes the outbox wait for subscriptions of this process, because a broker
// accepts and drops messages that nobody subscribes to, for example after it lost its sessions. s
// is a Server or Broker, which reports each change. Default: none.
func OutboxSubscriptions(s event.Subscriptions) OutboxOption {
	return func(o *client.Outbox) { o.Subscriptions = s }
}

// OutboxOwnSubscriptions is [OutboxSubscriptions] with the subscriptions of this broker.
func OutboxOwnSubscriptions() OutboxOption { return func(o *client.Outbox) { o.Own = true } }

// OutboxGate holds back all messages until gate returns nil: after Start, and again after each
// publishing connection that is lost or established, because the broker may have lost its sessions.
// Default: none.
func OutboxGate(gate func(ctx context.Context) error) OutboxOption {
	return func(o *client.Outbox) { o.Gate = gate }
}

// OutboxBacklog limits unhandled messages that this process publishes and also subscribes to:
// further ones stay in the store until enough earlier ones are handled. Default: none.
func OutboxBacklog(b *event.Backlog) OutboxOption { return func(o *client.Outbox) { o.Backlog = b } }

// OutboxWhenUnrouted sets what happens to the messages of one operation, /package.Service/Method,
// that the broker has no subscriber for. It takes precedence over the method's own option;
// event.RetryUnrouted of a call takes precedence over it. Default: they count as delivered, and are
// counted, reported to event.OutboxHook and logged once a minute.
func OutboxWhenUnrouted(operation string, u event.Unrouted) OutboxOption {
	return func(o *client.Outbox) { o.SetUnrouted(operation, u) }
}

// OutboxRefusedLimit sets how long, and for how many attempts, the broker may refuse a message
// before it is quarantined in the store, so that the messages behind it go on; 0 means the default.
// Default: 1 h and any number of attempts for NOT_AUTHORIZED, REFUSED and BAD_TOPIC; no limit for
// QUOTA_EXCEEDED, and for TOO_LARGE and UNSUPPORTED of the broker (event.Error.ByBroker), which the
// message does not cause.
func OutboxRefusedLimit(d time.Duration, attempts int) OutboxOption {
	return func(o *client.Outbox) { o.RefusedLimit, o.RefusedAttempts = d, attempts }
}

// OutboxConfig applies the part of a service's configuration on how an outbox sends: hold,
// refused_limit, refused_attempts and unrouted. The location and limits of the stored messages
// belong to the store, but an unknown driver is an error. nil changes nothing.
func OutboxConfig(c *v1.Outbox) OutboxOption { return func(o *client.Outbox) { o.Configure(c) } }
