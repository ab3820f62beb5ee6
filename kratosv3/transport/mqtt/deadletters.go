package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// DeadLetters returns the store of dead letters in use, to list, show and delete them. It is
// [mqttbroker.Broker.DeadLetters] of the server.
func (s *Server) DeadLetters() (deadletter.Store, error) { return s.of.DeadLetters() }

// Replay publishes the dead letters with these ids, or all if there are none, again to their
// original topics, and deletes each once the broker has acknowledged it. It is
// [mqttbroker.Broker.Replay] of the server.
func (s *Server) Replay(ctx context.Context, ids ...string) (int, error) {
	return s.of.Replay(ctx, ids...)
}

// ReplayConfirmed is Replay for the dead letters with these ids, including suspect ones
// ([deadletter.Letter]'s Suspect). It is [mqttbroker.Broker.ReplayConfirmed] of the server.
func (s *Server) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	return s.of.ReplayConfirmed(ctx, ids...)
}

// PublishLetter publishes the message of a dead letter again, as it came, and returns nil once
// the broker has acknowledged it; the store keeps the letter. It is
// [mqttbroker.Broker.PublishLetter] of the server.
func (s *Server) PublishLetter(ctx context.Context, l *deadletter.Letter) error {
	return s.of.PublishLetter(ctx, l)
}

// RetryParked ends the pauses of the keys whose oldest parked message has one of these ids, so
// that they are handled at once, and returns how many keys that were. It is
// [mqttbroker.Broker.RetryParked] of the server.
func (s *Server) RetryParked(ctx context.Context, ids ...string) (int, error) {
	return s.of.RetryParked(ctx, ids...)
}

// Quarantined lists up to limit messages that the outbox has quarantined and whose Seq is greater
// than after, in the order of Seq: each with its time, reason and, if it can be decoded, the
// message. It is [mqttbroker.Broker.Quarantined] of the server.
func (s *Server) Quarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	return s.of.Quarantined(ctx, after, limit)
}

// RetryQuarantined returns quarantined messages to the outbox, to be sent before the waiting
// messages of their key: all of them, or none with the error OUTBOX_FULL. A message that no
// longer exists is not an error. It is [mqttbroker.Broker.RetryQuarantined] of the server.
func (s *Server) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	return s.of.RetryQuarantined(ctx, seqs...)
}

// Waiting lists up to limit messages that wait in the outbox and whose Seq is greater than after,
// in the order of Seq: each with the last failure of the first message of its key, if the key
// waits because of that. It is [mqttbroker.Broker.Waiting] of the server.
func (s *Server) Waiting(ctx context.Context, after uint64, limit int) ([]outbox.Waiting, error) {
	return s.of.Waiting(ctx, after, limit)
}

// Delayed lists up to limit messages that the outbox keeps until they are due (event.After and
// event.At), in that order, after the given one or, with nil, from the first. It may be called at
// any time, also concurrently. The errors are those of [Server.Quarantined], and UNSUPPORTED
// when the store of the outbox cannot delay messages.
func (s *Server) Delayed(ctx context.Context, after *outbox.Entry, limit int) ([]*outbox.Entry, error) {
	return s.of.Delayed(ctx, after, limit)
}

// CancelDelayed deletes the delayed messages with these ids (event.ID, or the field that the
// method declares as id_field), on all topics, and returns how many those were: none of them is
// sent. A message that is due at that moment is either cancelled and counted, or sent. With a
// transaction in ctx (package sqltx) and an outbox in the same database, the messages are cancelled
// when it commits. It may be called concurrently. The errors are those of Delayed.
func (s *Server) CancelDelayed(ctx context.Context, ids ...string) (int, error) {
	return s.of.CancelDelayed(ctx, ids...)
}

// RetryWaiting sends the first messages of keys ([outbox.Entry.Order]) of the outbox at once,
// instead of after the pause that follows a failure. It is [mqttbroker.Broker.RetryWaiting] of
// the server.
func (s *Server) RetryWaiting(ctx context.Context, keys ...string) (int, error) {
	return s.of.RetryWaiting(ctx, keys...)
}

// DeleteWaiting deletes messages that wait in the outbox, without sending them. It is
// [mqttbroker.Broker.DeleteWaiting] of the server.
func (s *Server) DeleteWaiting(ctx context.Context, seqs ...uint64) (sent []uint64, err error) {
	return s.of.DeleteWaiting(ctx, seqs...)
}

// DeleteQuarantined deletes quarantined messages. It is [mqttbroker.Broker.DeleteQuarantined] of
// the server.
func (s *Server) DeleteQuarantined(ctx context.Context, seqs ...uint64) error {
	return s.of.DeleteQuarantined(ctx, seqs...)
}

// Retained returns a page of the messages that the broker retains, whichever client published
// them, in the order of their topics. It is [mqttbroker.Broker.Retained] of the server.
func (s *Server) Retained(ctx context.Context, q event.RetainedQuery) (event.RetainedPage, error) {
	return s.of.Retained(ctx, q)
}

// ClearRetained deletes the message that the broker retains on a topic: it publishes an empty
// retained message, which subscribers of the topic receive. It is
// [mqttbroker.Broker.ClearRetained] of the server.
func (s *Server) ClearRetained(ctx context.Context, topic string) error {
	return s.of.ClearRetained(ctx, topic)
}
