package event

import "time"

// A hook is a value that implements one or more of the interfaces below; the
// WithHooks option of both MQTT packages takes any number of them. Metrics and
// tracing are built on hooks.
//
// Methods are called concurrently, for one hook too, after the fact and never
// on a connection's read loop. Some are called where it happens and must return
// soon: OnPublish delays the publisher, or the callbacks of PublishAsync behind it;
// OnHandle, OnRetry, OnDeadLetter, OnPark and OnDuplicate delay the worker of their
// handler, whose message is not acknowledged meanwhile. While one of these hangs,
// so does what it delays, and nothing else.
//
// All others are told by a goroutine that each hook has, in order: one that hangs
// is told nothing more and delays nobody. 10,000 calls wait for it at most; what
// comes then it misses, which is counted in the log. Stop waits for these calls
// within its context.
//
// A panic is logged, and where it happens other hooks may miss the call; messages
// do not suffer. Nothing is measured for an interface that no hook implements.

// PublishHook is told the outcome of each publish of the application; dead
// letters are told to [DeadLetterHook].
type PublishHook interface{ OnPublish(info PublishInfo) }

// PublishInfo is the outcome of a publish.
type PublishInfo struct {
	// Topic is the topic name.
	Topic string
	// QoS is 0, 1 or 2; Retain asks the broker to keep the message.
	QoS    byte
	Retain bool
	// Size is the payload's in bytes.
	Size int
	// Duration is from the call to the acknowledgement.
	Duration time.Duration
	// Unrouted is set when the broker took the message although no subscription
	// matches it; MQTT 5. It is no error. Of messages that an outbox took see
	// [OutboxUnrouted].
	Unrouted bool
	// Err is what the caller was told; nil is success.
	Err error
}

// HandleHook is told of each attempt of a handler at a message.
type HandleHook interface{ OnHandle(info HandleInfo) }

// HandleInfo is one attempt of a handler.
type HandleInfo struct {
	Delivery
	// Duration is the handler's.
	Duration time.Duration
	// Err is what the handler returned, or its panic; nil is success.
	Err error
}

// RetryHook is told when another attempt follows.
type RetryHook interface{ OnRetry(info RetryInfo) }

// RetryInfo is a failed attempt that another one follows.
type RetryInfo struct {
	Delivery
	// After is the pause before the next attempt.
	After time.Duration
	// Err is why the attempt failed.
	Err error
}

// DeadLetterHook is told of each message that was dead-lettered, once its
// store has the letter.
type DeadLetterHook interface{ OnDeadLetter(info DeadLetterInfo) }

// DeadLetterInfo is a message that was dead-lettered.
type DeadLetterInfo struct {
	Delivery
	// ID is the dead letter's, Destination says which store has it: the topic of
	// a retained message, else the store's description.
	ID          string
	Destination string
	// Err is the failure of the last attempt.
	Err error
}

// Delivery says which message a handler had.
type Delivery struct {
	// Filter is the subscription's topic filter: a metric label, unlike Topic. It
	// is empty for a dead letter of a message that no subscription matched.
	Filter string
	// Topic is the name that the message was published on.
	Topic string
	// QoS is the level that the broker delivered at.
	QoS byte
	// Size is the payload's in bytes.
	Size int
	// Attempt counts from 1.
	Attempt int
}

// ConnectHook is told of each attempt to connect.
type ConnectHook interface{ OnConnect(info ConnectInfo) }

// ConnectInfo is an attempt to connect.
type ConnectInfo struct {
	// ClientID tells the subscriber's connection from the publisher's.
	ClientID string
	// Address is the broker's URL, without user information.
	Address string
	// SessionPresent says that the broker had kept our session.
	SessionPresent bool
	// Err is why there is no connection; nil is success.
	Err error
}

// DisconnectHook is told of each lost connection. One that we end is not lost.
type DisconnectHook interface{ OnDisconnect(info DisconnectInfo) }

// DisconnectInfo is the loss of a connection.
type DisconnectInfo struct {
	ClientID string
	Address  string
	// Cause is why, in one word: a metric label.
	Cause Cause
	// Err is why in full: it contains the [LossError].
	Err error
}

// SessionHook is told of each session that the broker had lost when we came
// back to it.
type SessionHook interface{ OnSessionLost(info SessionLostInfo) }

// SessionLostInfo is a session that the broker lost. What it kept in the
// subscriber's session, and what was published until it subscribed again, did
// not arrive and will not.
type SessionLostInfo struct {
	// ClientID tells the subscriber's session from the publisher's.
	ClientID string
	// Unfinished counts our QoS 2 publishes that ended with an unknown outcome;
	// those of QoS 1 are published again.
	Unfinished int
}

// SubscribeHook is told what the broker answered to SUBSCRIBE.
type SubscribeHook interface{ OnSubscribe(info SubscribeInfo) }

// SubscribeInfo is a filter that was refused or granted at a lower QoS, or that
// every filter is granted.
type SubscribeInfo struct {
	// Filter was refused, or granted at a lower QoS; empty when every filter is
	// granted.
	Filter string
	// Granted is how many filters the broker has granted; 0 with a Filter.
	Granted int
	// AskedQoS and GrantedQoS differ for a filter that the broker granted at a
	// lower QoS; both are 0 otherwise.
	AskedQoS, GrantedQoS byte
	// Err is the refusal, or names both levels; nil when every filter is granted.
	Err error
}

// DropHook is told of messages that arrived and reached no handler, for good or
// for now. Many are told at once.
type DropHook interface{ OnDrop(info DropInfo) }

// DropInfo counts dropped messages since the last call.
type DropInfo struct {
	// QueueFull counts QoS 0 messages that found the queue full.
	QueueFull int
	// Unmatched counts messages that were acknowledged because no subscription
	// matched: those of QoS 0, those for a filter that was taken back, and those
	// that a policy drops.
	Unmatched int
	// UnmatchedKept counts QoS 1 and 2 messages that no subscription matched and
	// that are not dropped: they stay unacknowledged for one that comes later.
	// One that finds none in time is told to [DeadLetterHook], with no filter, or
	// counted in Unmatched when it is dropped after all.
	UnmatchedKept int
	// IllFormed counts QoS 0 messages whose topic or properties are no well-formed
	// text.
	IllFormed int
}

// ParkHook is told of each message that was parked: stored, acknowledged, and
// handled again by the service itself.
type ParkHook interface{ OnPark(info ParkInfo) }

// ParkInfo is a message that was parked.
type ParkInfo struct {
	Delivery
	// ID is the letter's.
	ID string
	// Key is the ordering key that is held.
	Key string
	// Err is the failure of the last attempt; nil when the message only waits
	// behind another one of its key.
	Err error
}

// HeldHook is told once a minute of the ordering keys that most messages wait
// for, ten at most.
type HeldHook interface{ OnHeld(key HeldKey) }

// HeldKey is an ordering key whose messages wait behind a parked one.
type HeldKey struct {
	// Filter is the topic filter of the subscription.
	Filter string
	// Key is the ordering key.
	Key string
	// Waiting is how many messages wait behind the one that is handled again.
	Waiting int
	// Since is when the key was held.
	Since time.Time
	// Reason is the last error.
	Reason string
}

// DuplicateHook is told of each message that the dedup window suppressed.
type DuplicateHook interface{ OnDuplicate(info DuplicateInfo) }

// DuplicateInfo is a message that was suppressed.
type DuplicateInfo struct {
	Delivery
	// ID is the message's.
	ID string
}

// GapHook is told when messages of a publisher with a sequence are missing, and
// when some of them arrived late.
type GapHook interface{ OnGap(info GapInfo) }

// GapInfo is a gap in the sequence of one publisher and topic.
type GapInfo struct {
	// Topic is where, Source which publisher.
	Topic, Source string
	// Missing is how many numbers are missing; negative when that many were
	// reported before and arrived now.
	Missing int
	// Jump is set for a number that is further ahead than a publisher can have got:
	// then Missing is 0, as nobody knows, and the sequence begins anew behind it.
	Jump bool
	// Got is the number that arrived, Expected the one that should have.
	Got, Expected uint64
}

// OutboxHook is told of what an operator has to know of an outbox.
type OutboxHook interface{ OnOutbox(info OutboxInfo) }

// OutboxInfo is a change of an outbox.
type OutboxInfo struct {
	// Kind says what happened.
	Kind OutboxKind
	// Health is the outbox after it; with [OutboxUnrouted] and [OutboxExpired],
	// which may be many, as it was known last, with their counts.
	Health OutboxHealth
	// Topic and ID name the message of [OutboxQuarantined], [OutboxQuarantineFull],
	// [OutboxRefused], [OutboxUnanswered], [OutboxUnrouted] and [OutboxExpired].
	Topic, ID string
	// Err is why, where there is a reason.
	Err error
}

// OutboxKind is the kind of an [OutboxInfo].
type OutboxKind string

// The kinds.
const (
	// OutboxHigh is told when the outbox passed 80 % of a bound, OutboxLow when
	// it fell below 70 % again.
	OutboxHigh OutboxKind = "high"
	OutboxLow  OutboxKind = "low"
	// OutboxFull is told when a message was refused for want of room; once
	// until one is accepted again.
	OutboxFull OutboxKind = "full"
	// OutboxQuarantined is told of each entry that can never be sent, or was
	// refused for too long.
	OutboxQuarantined OutboxKind = "quarantined"
	// OutboxQuarantineFull is told of a message that was to be quarantined while
	// as many are as may be, or as many of its order as of one may be: it stays where
	// it is, and what is behind it waits. Err says which, as outbox.ErrQuarantineFull or
	// outbox.ErrQuarantineShare, and why the message cannot be sent. At most once a
	// minute for either.
	OutboxQuarantineFull OutboxKind = "quarantine full"
	// OutboxRefused is told of a message that the broker refused, that is tried
	// again, and that others of its order wait for: at most once a minute for each
	// reason.
	OutboxRefused OutboxKind = "refused"
	// OutboxUnanswered is told of a message that the broker does not acknowledge
	// although it answers a PINGREQ, and that is tried again: at most once a minute.
	OutboxUnanswered OutboxKind = "unanswered"
	// OutboxUnrouted is told of each message that the broker took although no
	// subscription matches it, when the outbox takes that for its delivery: at
	// once, or when its time to be sent again is over.
	OutboxUnrouted OutboxKind = "unrouted"
	// OutboxExpired is told of each message that was dropped because its expiry
	// was over before it could be sent.
	OutboxExpired OutboxKind = "expired"
	// OutboxFailed is told when the store fails, once until it works again.
	OutboxFailed OutboxKind = "failed"
)

// ReplyHook is told of each reply that was dropped.
type ReplyHook interface{ OnReplyDropped(info ReplyDroppedInfo) }

// ReplyDroppedInfo is a reply that its requester did not get. The request was
// handled and acknowledged.
type ReplyDroppedInfo struct {
	// Delivery is the request.
	Delivery
	// ResponseTopic is where the reply was to go. Whoever sent the request chose it,
	// and it is shortened.
	ResponseTopic string
	// Reason is why, in one word: a metric label. BAD_TOPIC is a response topic that
	// is not allowed, QUOTA_EXCEEDED a requester that had its share or is barred.
	Reason Reason
	// Err is why in full.
	Err error
}
