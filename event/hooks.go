package event

import (
	"context"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// A hook is a value that implements one or more of the interfaces below; the WithHooks option
// of both MQTT packages takes any number of hooks. Metrics and tracing are built on hooks.
//
// Methods except OnArrival are called after the event, concurrently, and never on the read loop
// of a connection. Some methods are called synchronously and must return quickly: OnPublish
// delays the publisher, or the following callbacks of PublishAsync. OnArrival, OnHandle,
// OnRetry, OnDeadLetter, OnPark and OnDuplicate delay the worker of the handler, whose message
// is not acknowledged before they return. A synchronous method that blocks delays nothing else.
//
// All other methods are called in order by a goroutine of the hook. A method that blocks stops
// further calls of this hook only. At most 10,000 calls are queued for a hook; further calls
// are dropped, and their number is logged. Stop waits for queued calls until its context ends.
//
// A panic is logged. After a panic in a synchronous method, other hooks may miss that call;
// the message is processed as usual. Nothing is measured for an interface that no hook
// implements.

// PublishHook is called with the result of each publish of the application. It is not called
// for dead letters; see [DeadLetterHook].
type PublishHook interface{ OnPublish(info PublishInfo) }

// PublishInfo is the result of a publish.
type PublishInfo struct {
	// Topic is the topic name.
	Topic string
	// Template is the topic template of a generated publish, such as
	// devices/{device_id}/data: unlike Topic it can be a metric label. It is empty for a
	// publish by hand, and for a call that names its topic itself. Operation is the operation
	// of a generated publish, /pkg.Service/Method, or empty.
	Template, Operation string
	// QoS is 0, 1 or 2. Retain is set if the broker is asked to keep the message.
	QoS    byte
	Retain bool
	// Size is the size of the payload in bytes.
	Size int
	// Duration is the time from the call to the acknowledgement.
	Duration time.Duration
	// Unrouted is set when the broker accepted the message although no subscription matches
	// it; MQTT 5 only. It is not an error. For messages of an outbox see [OutboxUnrouted].
	Unrouted bool
	// Attempts is how often the message was published: 1 unless it was refused for now and
	// tried again within the call, and 0 with an outbox, see [RelayHook].
	Attempts int
	// Err is the error returned to the caller; nil on success.
	Err error
	// Context is that of the publish, with its span if it is traced. It may have ended.
	Context context.Context
	// Message is the message as it was to be sent, and ID its id, or "" if it has none. They are set
	// only while a hook wants payloads, see [PayloadSwitch]. The slices of the message are valid
	// during the call only and must not be changed. After an error that is due to the message,
	// the message may be incomplete.
	Message *message.Message
	ID      string
}

// HandleHook is called after each attempt of a handler.
type HandleHook interface{ OnHandle(info HandleInfo) }

// HandleInfo is one attempt of a handler.
type HandleInfo struct {
	Delivery
	// Duration is how long the handler ran.
	Duration time.Duration
	// Err is the error of the handler, or its panic; nil on success.
	Err error
	// Batch is the number of messages that the handler received together in this attempt. It
	// is set for the first one of them only, and 0 for a message that is handled by itself.
	Batch int
	// SentAt is when the message was published, according to its sender: the user property
	// "sent-at", else the "time" of its CloudEvent. It is zero if neither is there, and for a
	// retained message, whose age is no delay.
	SentAt time.Time
	// Context has the span of the attempt. It has ended. It is nil if the attempt is not traced.
	Context context.Context
}

// RetryHook is called after a failed attempt that is followed by another one.
type RetryHook interface{ OnRetry(info RetryInfo) }

// RetryInfo is a failed attempt that is followed by another one.
type RetryInfo struct {
	Delivery
	// After is the pause before the next attempt.
	After time.Duration
	// Err is why the attempt failed.
	Err error
}

// DeadLetterHook is called for each dead-lettered message, after its dead letter is stored.
type DeadLetterHook interface{ OnDeadLetter(info DeadLetterInfo) }

// DeadLetterInfo describes a dead-lettered message.
type DeadLetterInfo struct {
	Delivery
	// ID is the id of the dead letter. Destination is where it is stored: the topic of a
	// retained message, else the description of the store.
	ID          string
	Destination string
	// Err is the error of the last attempt.
	Err error
}

// Delivery describes the message that a handler received.
type Delivery struct {
	// Filter is the topic filter of the subscription. Unlike Topic it can be a metric label.
	// It is empty for a dead letter of a message that no subscription matched.
	Filter string
	// Template is the topic template that a generated handler subscribed by, such as
	// devices/{device_id}/data, and Operation its operation, /pkg.Service/Method. Both are
	// empty for a subscription by hand, and can be metric labels.
	Template, Operation string
	// Topic is the topic name of the message.
	Topic string
	// QoS is the QoS at which the broker delivered the message.
	QoS byte
	// Size is the size of the payload in bytes.
	Size int
	// Attempt is the number of the attempt, starting at 1.
	Attempt int
}

// ConnectAttemptHook is called after each attempt to connect.
type ConnectAttemptHook interface{ OnConnectAttempt(info ConnectAttemptInfo) }

// ConnectAttemptInfo is an attempt to connect.
type ConnectAttemptInfo struct {
	// ClientID is the client id of the connection.
	ClientID string
	// Address is the broker's URL, without user information.
	Address string
	// SessionPresent is set if the broker still had the session.
	SessionPresent bool
	// Err is why the attempt failed; nil on success.
	Err error
}

// ConnectionLostHook is called for each lost connection, but not when the client disconnects.
type ConnectionLostHook interface{ OnConnectionLost(info ConnectionLostInfo) }

// ConnectionLostInfo describes a lost connection.
type ConnectionLostInfo struct {
	ClientID string
	Address  string
	// Kind classifies the loss; it can be a metric label.
	Kind LossKind
	// Err describes the loss in full. It contains a [LossError].
	Err error
}

// SessionLostHook is called when the broker turns out to have lost a session after a reconnect.
type SessionLostHook interface{ OnSessionLost(info SessionLostInfo) }

// SessionLostInfo is a session that the broker lost. The messages that the broker kept in the
// session of a subscriber, and those published until it subscribed again, are not delivered.
type SessionLostInfo struct {
	// ClientID is the client id of the session.
	ClientID string
	// Unfinished is the number of QoS 2 publishes whose result is unknown. QoS 1 publishes are
	// sent again.
	Unfinished int
}

// SubscribeHook is called with the results of SUBSCRIBE.
type SubscribeHook interface{ OnSubscribe(info SubscribeInfo) }

// SubscribeInfo reports a filter that was refused or granted at a lower QoS, or that all
// filters are granted.
type SubscribeInfo struct {
	// Filter is the filter that was refused, or granted at a lower QoS. It is empty when all
	// filters are granted.
	Filter string
	// Granted is the number of filters that the broker has granted; 0 if Filter is set.
	Granted int
	// AskedQoS and GrantedQoS are set for a filter that was granted at a lower QoS, else 0.
	AskedQoS, GrantedQoS byte
	// Err is the refusal, or names both QoS levels; nil when all filters are granted.
	Err error
}

// UnhandledHook is called for received messages that reached no handler, for now or at all. One
// call may report many messages.
type UnhandledHook interface{ OnUnhandled(info UnhandledInfo) }

// UnhandledInfo counts messages since the last call.
type UnhandledInfo struct {
	// QueueFull counts QoS 0 messages that were dropped because the queue was full.
	QueueFull int
	// Unmatched counts messages that were acknowledged because no subscription matched: QoS 0
	// messages, messages of a filter that was unsubscribed, and messages that a policy drops.
	Unmatched int
	// UnmatchedKept counts QoS 1 and 2 messages that no subscription matched and that stay
	// unacknowledged in case a matching subscription is registered later. If none is
	// registered in time, the message is reported to [DeadLetterHook] without a filter, or
	// counted in Unmatched if the policy drops it.
	UnmatchedKept int
	// IllFormed counts QoS 0 messages whose topic or properties are not well-formed text.
	IllFormed int
}

// ParkHook is called for each message that was parked: stored, acknowledged, and to be handled
// again from the store.
type ParkHook interface{ OnPark(info ParkInfo) }

// ParkInfo describes a parked message.
type ParkInfo struct {
	Delivery
	// ID is the id of its dead letter.
	ID string
	// Key is its ordering key; later messages with the key wait behind it.
	Key string
	// Err is the error of the last attempt; nil if the message only waits behind another one
	// with its key.
	Err error
}

// ParkedKeyHook is called once a minute for the parked ordering keys with the most waiting
// messages, at most ten.
type ParkedKeyHook interface{ OnParkedKey(key ParkedKey) }

// ParkedKey is an ordering key whose messages wait behind a parked one.
type ParkedKey struct {
	// Filter is the topic filter of the subscription.
	Filter string
	// Key is the ordering key.
	Key string
	// Waiting is the number of messages that wait behind the parked one.
	Waiting int
	// Since is the time when the first message with the key was parked.
	Since time.Time
	// LastError is the text of the last error.
	LastError string
}

// DuplicateHook is called for each message that the dedup window suppressed.
type DuplicateHook interface{ OnDuplicate(info DuplicateInfo) }

// DuplicateInfo describes a suppressed message.
type DuplicateInfo struct {
	Delivery
	// ID is the message id.
	ID string
}

// GapHook is called when messages of a publisher with sequence numbers are missing, and when
// missing ones arrive late.
type GapHook interface{ OnGap(info GapInfo) }

// GapInfo describes a gap in the sequence of one publisher and topic.
type GapInfo struct {
	// Topic is the topic name, Source the publisher.
	Topic, Source string
	// Missing is the number of missing messages. It is negative for messages that were
	// reported missing before and have arrived now.
	Missing int
	// Jump is set for a number that is further ahead than a publisher can have advanced.
	// Missing is 0 then, because the number of missing messages is unknown, and the sequence
	// restarts at this number.
	Jump bool
	// Got is the sequence number that arrived, Expected the one that was expected.
	Got, Expected uint64
}

// RelayHook is called with the result of each attempt to send a message of an outbox to the
// broker. [PublishHook] has reported that the outbox took the message.
type RelayHook interface{ OnRelay(info RelayInfo) }

// RelayInfo is the result of one attempt to send a message of an outbox.
type RelayInfo struct {
	// Topic is the topic name. The outbox does not keep templates and operations.
	Topic string
	// ID is the id of the message.
	ID string
	// QoS is 1 or 2. Retain is set if the broker is asked to keep the message.
	QoS    byte
	Retain bool
	// Size is the size of the payload in bytes.
	Size int
	// Duration is the time until the acknowledgement, or until the attempt failed.
	Duration time.Duration
	// Unrouted is set when the broker accepted the message although no subscription matches
	// it; MQTT 5 only. It is not an error.
	Unrouted bool
	// Err is why the attempt failed; nil on success. The outbox decides whether there is
	// another attempt, see [OutboxHook].
	Err error
	// Context has the span of the attempt if it is traced. It may have ended.
	Context context.Context
}

// OutboxHook is called for changes of an outbox that matter to its operator.
type OutboxHook interface{ OnOutbox(info OutboxInfo) }

// OutboxInfo describes a change of an outbox.
type OutboxInfo struct {
	// Kind is the kind of the change.
	Kind OutboxKind
	// Health is the state of the outbox after the change. With [OutboxUnrouted] and
	// [OutboxExpired], which can be frequent, it is the last known state with up-to-date
	// counts of these two.
	Health OutboxHealth
	// Topic and ID are those of the message with [OutboxQuarantined], [OutboxQuarantineFull],
	// [OutboxRefused], [OutboxUnanswered], [OutboxUnrouted] and [OutboxExpired].
	Topic, ID string
	// Err is the reason, if there is one.
	Err error
}

// OutboxKind is the kind of an [OutboxInfo].
type OutboxKind string

// The kinds.
const (
	// OutboxHigh is reported when the outbox exceeds 80 % of a limit, OutboxLow when it falls
	// below 70 % again.
	OutboxHigh OutboxKind = "high"
	OutboxLow  OutboxKind = "low"
	// OutboxFull is reported when a message is refused because the outbox is full, once until
	// a message is accepted again.
	OutboxFull OutboxKind = "full"
	// OutboxQuarantined is reported for each entry that can never be sent, or was refused for
	// too long.
	OutboxQuarantined OutboxKind = "quarantined"
	// OutboxQuarantineFull is reported for a message that should be quarantined while the
	// quarantine is full, in total or for its ordering key. The message stays in the outbox,
	// and the messages behind it wait. Err contains outbox.ErrQuarantineFull or
	// outbox.ErrQuarantineShare, and the reason why the message cannot be sent. Each of the
	// two is reported at most once a minute.
	OutboxQuarantineFull OutboxKind = "quarantine full"
	// OutboxRefused is reported for a message that the broker refused and that is retried
	// while others of its ordering key wait, at most once a minute for each reason.
	OutboxRefused OutboxKind = "refused"
	// OutboxUnanswered is reported for a message that the broker does not acknowledge although
	// it answers a PINGREQ. The message is retried. Reported at most once a minute.
	OutboxUnanswered OutboxKind = "unanswered"
	// OutboxUnrouted is reported for each message without a matching subscription that the
	// outbox regards as delivered: at once, or when the time for sending it again is over.
	OutboxUnrouted OutboxKind = "unrouted"
	// OutboxExpired is reported for each message that was dropped because its expiry had
	// passed before it could be sent.
	OutboxExpired OutboxKind = "expired"
	// OutboxFailed is reported when the store fails, once until it works again.
	OutboxFailed OutboxKind = "failed"
)

// ReplyDroppedHook is called for each reply that was dropped.
type ReplyDroppedHook interface{ OnReplyDropped(info ReplyDroppedInfo) }

// ReplyDroppedInfo describes a reply that its requester did not receive. The request was
// handled and acknowledged.
type ReplyDroppedInfo struct {
	// Delivery describes the request.
	Delivery
	// ResponseTopic is where the reply was to be sent, shortened. The sender of the request
	// chose it.
	ResponseTopic string
	// Reason classifies the failure; it can be a metric label. BAD_TOPIC means that the
	// response topic is not allowed, QUOTA_EXCEEDED that the requester exceeded its share or
	// is blocked.
	Reason Reason
	// Err describes the reason in full.
	Err error
}
