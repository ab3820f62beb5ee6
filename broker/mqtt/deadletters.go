package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// DeadLetters returns the store of dead letters in use, to list, show and delete them. The
// default store, retained messages, can be read only while connected.
func (b *Broker) DeadLetters() (deadletter.Store, error) { return b.of().DeadLetters() }

// Replay publishes the dead letters with these ids, or all if there are none, again to
// their original topics, and deletes each once the broker has acknowledged it. It
// returns how many were replayed. A dead letter that cannot be replayed stays, is named
// in the error and does not stop the others, see [deadletter.Replay].
func (b *Broker) Replay(ctx context.Context, ids ...string) (int, error) {
	return b.of().Replay(ctx, ids...)
}

// ReplayConfirmed is Replay for the dead letters with these ids, including suspect ones
// ([deadletter.Letter]'s Suspect). It is meant for an operator that has checked their
// content and topic. Without ids it is an error.
func (b *Broker) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	return b.of().ReplayConfirmed(ctx, ids...)
}

// PublishLetter publishes the message of a dead letter again, as it came, and returns nil
// once the broker has acknowledged it; the store keeps the letter. On MQTT 5 the message
// carries the number of its replays, see [deadletter.Replayed]. An error that is due to the
// message, so that another one may go well, is [deadletter.ErrUnfit]. Package operator
// uses it; Replay also claims and deletes.
func (b *Broker) PublishLetter(ctx context.Context, l *deadletter.Letter) error {
	return b.of().PublishLetter(ctx, l)
}

// RetryParked ends the pauses of the keys whose oldest parked message has one of these
// ids, so that they are handled at once, and returns how many keys that were. A message
// that waits behind another one, that is being handled, or that another process parked is
// not counted. The error is NOT_CONNECTED or CLOSED before Start and after Stop.
func (b *Broker) RetryParked(ctx context.Context, ids ...string) (int, error) {
	return b.of().RetryParked(ctx, ids...)
}

// Quarantined lists up to limit messages that the outbox has quarantined and whose Seq is
// greater than after, in the order of Seq: each with its time, reason and, if it can be
// decoded, the message. The error is BAD_REQUEST without an outbox, and OUTBOX_FAILED if
// the store fails.
func (b *Broker) Quarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	return b.of().Quarantined(ctx, after, limit)
}

// RetryQuarantined returns quarantined messages to the outbox, to be sent before the
// waiting messages of their key: all of them, or none with the error OUTBOX_FULL. A message
// that no longer exists is not an error. The other errors are those of Quarantined.
func (b *Broker) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	return b.of().RetryQuarantined(ctx, seqs...)
}

// Waiting lists up to limit messages that wait in the outbox and whose Seq is greater than
// after, in the order of Seq: each with the last failure of the first message of its key, if
// the key waits because of that. The errors are those of Quarantined.
func (b *Broker) Waiting(ctx context.Context, after uint64, limit int) ([]outbox.Waiting, error) {
	return b.of().Waiting(ctx, after, limit)
}

// Delayed lists up to limit messages that the outbox keeps until they are due (event.After and
// event.At), in that order, after the given one or, with nil, from the first. It may be called at
// any time, also concurrently. The errors are those of [Broker.Quarantined], and UNSUPPORTED
// when the store of the outbox cannot delay messages.
func (b *Broker) Delayed(ctx context.Context, after *outbox.Entry, limit int) ([]*outbox.Entry, error) {
	return b.of().Delayed(ctx, after, limit)
}

// CancelDelayed deletes the delayed messages with these ids (event.ID, or the field that the
// method declares as id_field), on all topics, and returns how many those were: none of them is
// sent. A message that is due at that moment is either cancelled and counted, or sent. With a
// transaction in ctx (package sqltx) and an outbox in the same database, the messages are cancelled
// when it commits. It may be called concurrently. The errors are those of Delayed.
func (b *Broker) CancelDelayed(ctx context.Context, ids ...string) (int, error) {
	return b.of().CancelDelayed(ctx, ids...)
}

// RetryWaiting sends the first messages of keys ([outbox.Entry.Order]) of the outbox at once,
// instead of after the pause that follows a failure. It returns how many keys had a pause. The
// errors are those of Quarantined.
func (b *Broker) RetryWaiting(ctx context.Context, keys ...string) (int, error) {
	return b.of().RetryWaiting(ctx, keys...)
}

// DeleteWaiting deletes messages that wait in the outbox, without sending them. It returns
// those that it left because they have been sent and wait for their acknowledgement. Messages
// that another process has read from a shared outbox may still be sent. A message that no
// longer exists is not an error. The other errors are those of Quarantined.
func (b *Broker) DeleteWaiting(ctx context.Context, seqs ...uint64) (sent []uint64, err error) {
	return b.of().DeleteWaiting(ctx, seqs...)
}

// DeleteQuarantined deletes quarantined messages. A message that no longer exists is not an
// error. The other errors are those of Quarantined.
func (b *Broker) DeleteQuarantined(ctx context.Context, seqs ...uint64) error {
	return b.of().DeleteQuarantined(ctx, seqs...)
}

// Retained returns a page of the messages that the broker retains, whichever client published them, in
// the order of their topics. MQTT has no paging: the broker sends everything that the filters
// match for each page, over a connection of its own (client id "<id>-pub-letters", or
// "<id>-srv-pub-letters" of a server), within q.Within. The error is BAD_REQUEST for an invalid
// query, NOT_CONNECTED or CLOSED before Start and after Stop, or what the broker answered to the
// SUBSCRIBE.
func (b *Broker) Retained(ctx context.Context, q event.RetainedQuery) (event.RetainedPage, error) {
	return b.of().Retained(ctx, q)
}

// ClearRetained deletes the message that the broker retains on a topic: it publishes an empty
// retained message, which subscribers of the topic receive. It returns nil when the broker has
// acknowledged that; a broker that speaks MQTT 3.1.1 also does so for a client that may not
// publish there. It does not go through an outbox.
func (b *Broker) ClearRetained(ctx context.Context, topic string) error {
	return b.of().ClearRetained(ctx, topic)
}
