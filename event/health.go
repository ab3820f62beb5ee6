package event

import "time"

// Health is a snapshot of a connection to the broker and of its messages, for readiness probes
// and metrics. Unless stated otherwise, a counter starts at 0 when the client is created.
type Health struct {
	// Instance is a random id of the client in this process. Two snapshots with the same one
	// describe the same client, whose counts must not be added up.
	Instance string
	// Connected is set while the main connection is up: that of the subscriber, or of the
	// publisher if nothing is subscribed.
	Connected bool
	// Ready is set while connected with every filter granted at the requested QoS.
	Ready bool
	// Filters is the number of topic filters that are to be subscribed, Granted how many of
	// them the broker has granted, and GrantedLower how many it granted at a lower QoS than
	// requested. Their messages are delivered at the lower QoS.
	Filters      int
	Granted      int
	GrantedLower int
	// InFlight is the number of sent QoS 1 and 2 messages that are not acknowledged yet.
	InFlight int
	// Queued is the number of received messages that wait for a handler, Running the number
	// that are being handled.
	Queued  int
	Running int
	// HandlersLate is the number of calls of handlers that passed their deadline and still run: each
	// occupies a worker, and acknowledgements wait for it.
	HandlersLate int
	// QueuedBytes is the size in bytes of the received messages that wait or are being handled.
	QueuedBytes int64
	// QueueFull counts QoS 0 messages that were dropped because the queue was full. Unmatched
	// counts messages that no subscription matched.
	QueueFull int64
	Unmatched int64
	// UnmatchedKept is the number of QoS 1 and 2 messages that no subscription matches yet:
	// they stay unacknowledged until a matching subscription is registered or their time is
	// over. UnmatchedLetters counts those that became dead letters.
	UnmatchedKept    int
	UnmatchedLetters int64
	// IllFormed counts QoS 0 messages that were dropped because their topic or properties are
	// not well-formed text.
	IllFormed int64
	// BackPressure is how long the client has been delaying the broker because the queue of
	// messages to handle is full again and again; 0 if there is room.
	BackPressure time.Duration
	// BeyondReceiveMaximum counts messages that an MQTT 5 broker sent although the maximum of
	// unacknowledged messages was reached, since Start. They are handled like any other
	// message.
	BeyondReceiveMaximum int64
	// SessionsLost counts how often the broker had lost the session of the subscriber.
	// Messages that were published in the meantime were not delivered.
	SessionsLost int64
	// Unrouted counts messages that the broker accepted although no subscription matches them,
	// except those that an outbox sends again. The broker reports it in PUBACK or PUBREC with
	// code 0x10, MQTT 5 only, and is not required to. Retained messages are never counted.
	Unrouted int64
	// HeadersLost counts messages that were sent without their headers or expiry, which MQTT
	// 3.1.1 cannot transport.
	HeadersLost int64
	// ContextHeadersDropped counts headers from the context of a publish, such as metadata,
	// trace context and baggage, that were not sent because they are not valid MQTT text or
	// exceed the limits. The messages were sent without them. Each header name is logged once.
	ContextHeadersDropped int64
	// Deletions counts empty messages, which delete a retained message, that were acknowledged
	// without calling the handler because its codec cannot decode them.
	Deletions int64
	// RetainedIgnored counts retained messages that were acknowledged without calling the
	// handler because it ignores retained messages.
	RetainedIgnored int64
	// MetadataRefused counts headers with Kratos metadata (x-md-...) that were not adopted
	// because their sender is not trusted and they are not in the allowed list. It is counted
	// once per attempt of a handler, since the server was created.
	MetadataRefused int64
	// LateReplies counts replies that arrived after their request had ended, or that belong to
	// no request of this client.
	LateReplies int64
	// RepliesDropped counts replies that were not delivered to their requesters, because the
	// response topic is not allowed, the requester exceeded its share, or the broker did not
	// accept the reply. Their requests were handled and acknowledged.
	RepliesDropped int64
	// Parked is the number of messages that are handled again from the durable store,
	// ParkedKeys the number of ordering keys whose messages wait behind one of them.
	Parked     int
	ParkedKeys int
	// ForeignParked is the number of parked messages in the durable store that this process
	// does not handle, at most a minute old. Other processes may handle them; if none does
	// within their time and a tenth more, they become dead letters.
	ForeignParked int
	// TopParkedKeys lists the parked keys with the most waiting messages, at most ten. The first key of
	// each origin (see deadletter.Letter) comes before the second key of any origin. A Key of
	// more than 256 bytes is shortened to its beginning and a hash.
	TopParkedKeys []ParkedKey
	// Pauses lists the subscriptions that do not handle messages for now, because somebody
	// paused them or because their breaker is not closed. BreakersOpened counts how often a
	// breaker opened.
	Pauses         []SubscriptionPause
	BreakersOpened int64
	// DeadLettersBlocked is set while a dead letter, or a message to park, could not be
	// stored. The message stays unacknowledged and storing it is retried. DeadLetterError is
	// the reason, or nil.
	DeadLettersBlocked bool
	DeadLetterError    error
	// LettersCut counts dead letters that contain only a part of their message, because it
	// exceeded a limit or the store did not accept it unchanged. LettersLost counts messages
	// that were dropped (see DroppedByPolicy) because the store did not accept their dead letter
	// in any form.
	LettersCut  int64
	LettersLost int64
	// LettersOverShare counts messages that were dropped (see DroppedByPolicy) because the
	// dead letters of their origin had used up its share of the store.
	LettersOverShare int64
	// LetterLostAt is when a message was last counted in LettersLost or LettersOverShare; zero
	// if none was.
	LetterLostAt time.Time
	// DroppedByPolicy counts messages that were acknowledged without being handled, because a
	// setting or a verdict says so.
	DroppedByPolicy int64
	// DeadLetterTopicFailed counts dead letters that were stored, but could not be published
	// on their dead-letter topic.
	DeadLetterTopicFailed int64
	// Duplicates counts messages that the dedup window suppressed, WithoutID those that it
	// could not check because they have no id.
	Duplicates int64
	WithoutID  int64
	// IDMismatches counts messages whose header and id field contain different message ids,
	// KeyMismatches those whose header and key field contain different ordering keys. The
	// field takes precedence.
	IDMismatches  int64
	KeyMismatches int64
	// TopicMismatches counts messages of generated handlers whose payload contradicts their
	// topic, since the server was created.
	TopicMismatches int64
	// Missing counts messages that publishers with sequence numbers sent and that did not
	// arrive, except those that arrived late.
	Missing int64
	// SequenceJumps counts sequence numbers that are further ahead than a publisher can have
	// advanced; each counts once, whatever the distance. SequencesForgotten counts sequences
	// that were forgotten because too many were tracked, for their topic or in total: the next
	// gap in them is not noticed.
	SequenceJumps      int64
	SequencesForgotten int64
	// Outbox is the zero value without an outbox, and HasOutbox is not set then.
	Outbox    OutboxHealth
	HasOutbox bool
	// BrokerCertificateEnds is when the certificate that the broker presented ends, and
	// ClientCertificateEnds when ours does: the earliest of the last connection of each session. They
	// are zero without TLS, or without a certificate of ours.
	BrokerCertificateEnds time.Time
	ClientCertificateEnds time.Time
	// CertificateError is why new TLS files are not used: they cannot be read, do not belong
	// together, have expired, or the broker refuses them. The old ones stay in use. It is nil
	// when the files are in use as they are.
	CertificateError error
	// SelfTestError is why the self-test of the last start failed; nil if it did not fail, is
	// not finished or is not enabled.
	SelfTestError error
	// LastLoss is the last lost connection, of the subscriber or of a publisher; nil if none
	// was lost since Start.
	LastLoss *LossError
	// LastError is why the client is not connected or not ready; nil if it is.
	LastError error
	// Sessions lists the open sessions, each with its own connection: subscribers, with the
	// main one first, publishers, and sessions for requests. Their counts are included in the
	// counts above. Connected describes the main session; Ready describes the main session and
	// all subscribers.
	Sessions []SessionHealth
	// Partitions lists the partitions that are assigned to this replica, by number. Ready and
	// the counts above include those that it owns.
	Partitions []PartitionHealth
}

// PartitionState is how an assigned partition stands. Its text is stable.
type PartitionState string

// The states of partitions.
const (
	// PartitionOwned means that this replica is connected as the partition's owner, with its
	// filters granted.
	PartitionOwned PartitionState = "owned"
	// PartitionConnecting means that it is not connected now.
	PartitionConnecting PartitionState = "connecting"
	// PartitionWaiting means that another replica still has time to leave.
	PartitionWaiting PartitionState = "waiting"
	// PartitionYielded means that another replica took the partition although it is assigned to
	// this one: two of them have the same configuration, or the other has an old list of
	// replicas.
	PartitionYielded PartitionState = "yielded"
)

// PartitionHealth is a snapshot of a partition.
type PartitionHealth struct {
	// Partition is its number, from 0.
	Partition int
	// State is how it stands.
	State PartitionState
	// ClientID is the client id of its session.
	ClientID string
	// LastError is why it is not connected or not ready; nil if it is.
	LastError error
}

// SessionHealth is a snapshot of one session.
type SessionHealth struct {
	// ClientID is the client id of the session.
	ClientID string
	// Name is the name of a subscription's own session; "" for all others.
	Name string
	// Connected is set while the connection is up. Ready is set while all filters are granted
	// as well.
	Connected, Ready bool
	// Filters is the number of topic filters of the session, Granted how many of them the
	// broker has granted.
	Filters, Granted int
	// InFlight is the number of sent messages that are not acknowledged yet.
	InFlight int
	// Queued is the number of received messages that wait for a handler, Running the number
	// that are being handled.
	Queued, Running int
	// LastError is why the session is not connected or not ready; nil if it is.
	LastError error
}

// FilterHealth is a topic filter that a client wants to be subscribed to, and what the broker
// granted.
type FilterHealth struct {
	// Filter is as the broker has it, such as $share/group/devices/+/data.
	Filter string
	// Session is the name of the subscription's own session; "" means the main one.
	Session string
	// Granted is set if the broker has accepted the filter, at GrantedQoS. It stays set while the
	// connection is down and the broker may have kept the session.
	Granted              bool
	AskedQoS, GrantedQoS byte
	// Err is why the filter is not granted, or only at a lower QoS; else nil.
	Err error
}

// OutboxHealth is a snapshot of an outbox.
type OutboxHealth struct {
	// Depth is the number of messages that wait, Bytes their size, Age the age of the oldest
	// one.
	Depth int
	Bytes int64
	Age   time.Duration
	// Fill is how full the outbox is, between 0 and 1, by the limit that is closest.
	Fill float64
	// GateClosed is set while the outbox sends nothing because its gate is closed.
	GateClosed bool
	// ClosedKeys is the number of ordering keys that wait because their first message was
	// refused, found no subscriber, or failed for another reason. Messages with other keys are
	// sent.
	ClosedKeys int
	// UnansweredKeys is how many of ClosedKeys wait because the broker did not acknowledge the
	// message. They are retried two at a time, with growing pauses.
	UnansweredKeys int
	// RefusedError is the last refusal of the broker for a message that is retried; nil when
	// no key is closed.
	RefusedError error
	// Quarantined is the number of messages that are kept but not sent, because they can never
	// be sent or were refused for too long.
	Quarantined int
	// Delayed is the number of messages that are not due yet, DelayedBytes their size; neither is
	// included in Depth and Bytes. NextDue is when the first one is due; zero if there is none.
	Delayed      int
	DelayedBytes int64
	NextDue      time.Time
	// Unrouted counts messages that were removed from the outbox although the broker had no
	// subscriber for them. Expired counts messages that were dropped because their expiry had
	// passed before they could be sent. Both start at 0 when the client is created.
	Unrouted int64
	Expired  int64
	// Err is the last error of the store; nil when the store works.
	Err error
}
