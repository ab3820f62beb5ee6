package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// DeadLetters returns the store of dead letters, to list, show and delete them. Retained
// messages, which are the default store, can be read only between Start and Stop.
func (s *Server) DeadLetters() (deadletter.Store, error) { return s.broker.DeadLetters() }

// Replay publishes the dead letters with these ids, or all without ids, to their original
// topics again, and deletes each once the broker has acknowledged it. It returns how many
// it published. A letter that cannot be replayed stays, is named in the error and does not
// stop the others, see [deadletter.Replay].
func (s *Server) Replay(ctx context.Context, ids ...string) (int, error) {
	return s.broker.Replay(ctx, ids...)
}

// ReplayConfirmed is like Replay, but also replays suspect letters ([deadletter.Letter]'s
// Suspect), after an operator has checked what they would publish, and where. A call
// without ids is an error.
func (s *Server) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	return s.broker.ReplayConfirmed(ctx, ids...)
}

// OutboxQuarantined lists up to limit quarantined messages of the server's outbox with a
// Seq greater than after, in that order: each with its time, reason and, if it can be
// decoded, the message. The error is BAD_REQUEST without an outbox, and OUTBOX_FAILED when
// the store fails.
func (s *Server) OutboxQuarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	return s.broker.OutboxQuarantined(ctx, after, limit)
}

// OutboxRequeue moves quarantined messages back to the outbox, where they are sent before
// waiting messages with the same key: all of them, or none with OUTBOX_FULL. Messages that
// no longer exist are ignored. The other errors are those of OutboxQuarantined.
func (s *Server) OutboxRequeue(ctx context.Context, seqs ...uint64) error {
	return s.broker.OutboxRequeue(ctx, seqs...)
}

// OutboxDiscard deletes quarantined messages. Messages that no longer exist are ignored.
// The other errors are those of OutboxQuarantined.
func (s *Server) OutboxDiscard(ctx context.Context, seqs ...uint64) error {
	return s.broker.OutboxDiscard(ctx, seqs...)
}
