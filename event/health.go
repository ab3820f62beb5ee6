package event

import "time"

// Health is a snapshot of a connection to the broker and of what passes
// through it, for readiness probes and metrics.
type Health struct {
	// Connected is set while the main connection is up: the subscriber's, or
	// the publisher's when nothing is subscribed.
	Connected bool
	// Ready is set while connected with every filter granted at the QoS that was
	// asked for.
	Ready bool
	// Filters is how many topic filters are wanted, Granted how many of them
	// the broker has granted, and GrantedLower how many of those at a lower QoS
	// than was asked for: their messages arrive, at that level.
	Filters      int
	Granted      int
	GrantedLower int
	// InFlight counts our QoS 1 and 2 messages that wait for an
	// acknowledgement.
	InFlight int
	// Queued counts messages that arrived and wait for a handler, Running those
	// that are being handled.
	Queued  int
	Running int
	// Dropped counts QoS 0 messages that found the queue full, Unmatched
	// messages that no subscription matched, both since the client was made.
	Dropped   int64
	Unmatched int64
	// UnmatchedKept counts QoS 1 and 2 messages that no subscription matches yet:
	// they stay unacknowledged for one that is registered in time.
	// UnmatchedLetters counts those that found none and became dead letters, since
	// the client was made.
	UnmatchedKept    int
	UnmatchedLetters int64
	// IllFormed counts QoS 0 messages that were dropped because their topic or
	// properties are no well-formed text, since the client was made.
	IllFormed int64
	// BackPressure is for how long the broker has been held up because the queue
	// of messages to handle was full again and again; 0 when it has room.
	BackPressure time.Duration
	// BeyondReceiveMaximum counts messages that a broker of MQTT 5 sent beyond what it may
	// have unacknowledged, since Start. They are handled as any other.
	BeyondReceiveMaximum int64
	// SessionsLost counts how often the broker had lost the subscriber's session:
	// messages published meanwhile did not arrive, since the client was made.
	SessionsLost int64
	// Unrouted counts messages that the broker took although no subscription
	// matches them (PUBACK or PUBREC 0x10 of MQTT 5, which a broker need not
	// send), less those that an outbox sends again, since the client was made.
	// Retained messages are never unrouted.
	Unrouted int64
	// HeadersLost counts messages that went out without their headers or
	// expiry, for which MQTT 3.1.1 has no place, since the client was made.
	HeadersLost int64
	// ContextHeadersDropped counts headers from the contexts of publishes, such as
	// metadata, trace context and baggage, that were left out of their messages
	// because they are no text that MQTT takes, or over the limits, since the
	// client was made. The messages were sent. The log names each header once.
	ContextHeadersDropped int64
	// Deletions counts empty messages, with which MQTT deletes a retained one, that
	// were acknowledged without a call of their handler, because its codec cannot
	// decode them, since the client was made.
	Deletions int64
	// RetainedIgnored counts messages that the broker had kept and that were
	// acknowledged without a call of their handler, because it ignores such, since
	// the client was made.
	RetainedIgnored int64
	// MetadataRefused counts headers with Kratos metadata (x-md-...) that were not
	// taken over because their sender is not trusted and they are not allowed, once
	// for each attempt of a handler, since the server was made.
	MetadataRefused int64
	// LateReplies counts replies that nobody waited for any more, or that
	// answered no request of ours.
	LateReplies int64
	// RepliesDropped counts replies of ours that their requesters did not get,
	// because the response topic is not allowed, because a requester had its share,
	// or because the broker did not take them, since the client was made. Their
	// requests were handled and acknowledged.
	RepliesDropped int64
	// Parked counts messages that are handled again from the durable store,
	// HeldKeys the ordering keys that are held for them.
	Parked   int
	HeldKeys int
	// ForeignParked counts messages that are parked in the durable store and that
	// nobody here handles, as of a minute ago: other processes may, and once their
	// time is over, by a tenth, they become dead letters.
	ForeignParked int
	// Held are those of them that most messages wait for, ten at most, of each origin
	// (see deadletter.Letter) the first before the second of any. A Key of more than
	// 256 bytes is a hash and its beginning.
	Held []HeldKey
	// DeadLettersBlocked is set while a dead letter, or a message to park, could
	// not be stored: it stays unacknowledged, and is tried again.
	// DeadLetterError is why; nil otherwise.
	DeadLettersBlocked bool
	DeadLetterError    error
	// LettersCut counts dead letters that have not all of their message, because
	// it was over a limit or their store did not take it as it was. LettersLost
	// counts messages that were discarded, as Discarded says, because the store
	// took no form of their letter. Both since the client was made.
	LettersCut  int64
	LettersLost int64
	// LettersOverShare counts messages that were discarded, as Discarded says, because
	// letters of the same origin have taken its share of the store, since the client
	// was made.
	LettersOverShare int64
	// Discarded counts messages that were acknowledged unhandled because a
	// policy says so, since the client was made.
	Discarded int64
	// DeadLetterTopicFailed counts dead letters that their store has, and that
	// did not reach the topic that they were to be published on, too.
	DeadLetterTopicFailed int64
	// Duplicates counts messages that the dedup window suppressed, WithoutID
	// those that it could not know for lack of an id, since the client was made.
	Duplicates int64
	WithoutID  int64
	// IDMismatches counts messages whose header names another id than the field that
	// is declared for it, KeyMismatches those whose header names another ordering key,
	// both since the client was made. The field counted.
	IDMismatches  int64
	KeyMismatches int64
	// TopicMismatches counts messages of generated handlers whose payload
	// contradicted their topic, since the server was made.
	TopicMismatches int64
	// Missing counts messages that publishers with a sequence sent and that did
	// not arrive, less those that arrived late, since the client was made.
	Missing int64
	// SequenceJumps counts numbers that were further ahead than a publisher can have
	// got, each one finding, however far. SequencesForgotten counts sequences that were
	// forgotten because there was no room for more, of their topic or in all: what of
	// them was missing next was not noticed. Both since the client was made.
	SequenceJumps      int64
	SequencesForgotten int64
	// Outbox is zero without an outbox.
	Outbox OutboxHealth
	// SelfTestError is why the self-test of the last start failed; nil without
	// one, and until it has.
	SelfTestError error
	// LastLoss is the last connection that was lost, of the subscriber or of a
	// publisher; nil when none was since Start.
	LastLoss *LossError
	// LastError is why it is not connected or not ready; nil when it is.
	LastError error
	// Sessions are those that were opened, each with a connection: subscribers, the
	// main one first, publishers, and those for requests. What they count is in the
	// numbers above, too. Connected is about the main one, Ready about it and all
	// subscribers.
	Sessions []SessionHealth
}

// SessionHealth is a snapshot of one session.
type SessionHealth struct {
	// ClientID is what the broker knows it by.
	ClientID string
	// Connected is set while its connection is up, Ready while all of its filters
	// are granted, too.
	Connected, Ready bool
	// Filters is how many topic filters are wanted on it, Granted how many of them
	// the broker has granted.
	Filters, Granted int
	// InFlight counts its messages on their way out that wait for an
	// acknowledgement.
	InFlight int
	// Queued counts its messages that wait for a handler, Running those that are
	// being handled.
	Queued, Running int
	// LastError is why it is not connected or not ready; nil when it is.
	LastError error
}

// OutboxHealth is a snapshot of an outbox.
type OutboxHealth struct {
	// Depth is how many messages wait, Bytes their size, Age the age of the
	// oldest.
	Depth int
	Bytes int64
	Age   time.Duration
	// Fill is how full it is, between 0 and 1, by the bound that is nearer.
	Fill float64
	// HeldBack is set while nothing is sent because its gate is closed.
	HeldBack bool
	// ClosedKeys is how many ordering keys wait because the first message of
	// each was refused, found no subscriber, or failed otherwise; what is behind
	// it waits with it. Other keys go on.
	ClosedKeys int
	// UnansweredKeys is how many of those wait because the broker did not
	// acknowledge the message. They are tried two at a time, with growing pauses.
	UnansweredKeys int
	// RefusedError is the last refusal of the broker that is to be tried again;
	// nil once no key is closed.
	RefusedError error
	// Quarantined counts messages that can never be sent, or were refused for
	// too long, and are kept.
	Quarantined int
	// Unrouted counts messages that left the outbox although the broker had no
	// subscriber for them, Expired those that were dropped because their expiry
	// was over before they could be sent, both since the client was made.
	Unrouted int64
	Expired  int64
	// Err is why the store failed last; nil when it works.
	Err error
}
