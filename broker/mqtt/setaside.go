package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// DeadLetters is the store in use, to list, show and drop dead letters; the retained
// messages, which are the default, can be read while connected only.
func (b *Broker) DeadLetters() (deadletter.Store, error) {
	c, err := b.Client()
	if err != nil {
		return nil, err
	}
	return c.DeadLetters(), nil
}

// Replay publishes the dead letters of these ids again, without ids all of
// them, to their original topics, and deletes each once the broker has it. It
// returns how many; a letter that cannot be replayed stays, is named in the error
// and does not stop the others, see [deadletter.Replay].
func (b *Broker) Replay(ctx context.Context, ids ...string) (int, error) {
	c, err := b.Client()
	if err != nil {
		return 0, err
	}
	return c.Replay(ctx, ids...)
}

// ReplayConfirmed is Replay of the letters of these ids, also of suspect ones
// ([deadletter.Letter]'s Suspect), for an operator that has looked at what they would
// publish, and where. Without ids it is an error.
func (b *Broker) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	c, err := b.Client()
	if err != nil {
		return 0, err
	}
	return c.ReplayConfirmed(ctx, ids...)
}

// OutboxQuarantined lists up to limit messages that the outbox has put aside, with a
// Seq beyond after, in that order: each with its time, reason and, where it can be
// decoded, the message. BAD_REQUEST without an outbox, OUTBOX_FAILED when the store
// fails.
func (b *Broker) OutboxQuarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	c, err := b.Client()
	if err != nil {
		return nil, err
	}
	return c.OutboxQuarantined(ctx, after, limit)
}

// OutboxRequeue puts messages that were put aside back, to be sent before those
// of their order that still wait: all of them, or OUTBOX_FULL and none. One that is
// gone is no error. The other errors are those of OutboxQuarantined.
func (b *Broker) OutboxRequeue(ctx context.Context, seqs ...uint64) error {
	c, err := b.Client()
	if err != nil {
		return err
	}
	return c.OutboxRequeue(ctx, seqs...)
}

// OutboxDiscard removes messages that were put aside for good. One that is gone
// is no error. The other errors are those of OutboxQuarantined.
func (b *Broker) OutboxDiscard(ctx context.Context, seqs ...uint64) error {
	c, err := b.Client()
	if err != nil {
		return err
	}
	return c.OutboxDiscard(ctx, seqs...)
}
