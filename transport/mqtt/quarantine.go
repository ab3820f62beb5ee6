package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// OutboxQuarantined lists up to limit messages that the outbox of the server has
// put aside, with a Seq beyond after, in that order: each with its time, reason
// and, where it can be decoded, the message. BAD_REQUEST without an outbox,
// OUTBOX_FAILED when the store fails.
func (s *Server) OutboxQuarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	return s.broker.OutboxQuarantined(ctx, after, limit)
}

// OutboxRequeue puts messages that were put aside back, to be sent before those
// of their order that still wait: all of them, or OUTBOX_FULL and none. One that is
// gone is no error. The other errors are those of OutboxQuarantined.
func (s *Server) OutboxRequeue(ctx context.Context, seqs ...uint64) error {
	return s.broker.OutboxRequeue(ctx, seqs...)
}

// OutboxDiscard removes messages that were put aside for good. One that is gone
// is no error. The other errors are those of OutboxQuarantined.
func (s *Server) OutboxDiscard(ctx context.Context, seqs ...uint64) error {
	return s.broker.OutboxDiscard(ctx, seqs...)
}
