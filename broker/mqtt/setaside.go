package mqtt

import (
	"context"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// DeadLetters returns the dead-letter store in use, to list, show and drop dead
// letters. The default, retained messages, can only be read while connected.
func (b *Broker) DeadLetters() (deadletter.Store, error) {
	c, err := b.Client()
	if err != nil {
		return nil, err
	}
	return c.DeadLetters(), nil
}

// Replay publishes the dead letters with these ids, or all if there are none, again to
// their original topics, and deletes each once the broker has acknowledged it. It
// returns how many were replayed. A dead letter that cannot be replayed stays, is named
// in the error and does not stop the others, see [deadletter.Replay].
func (b *Broker) Replay(ctx context.Context, ids ...string) (int, error) {
	c, err := b.Client()
	if err != nil {
		return 0, err
	}
	return c.Replay(ctx, ids...)
}

// ReplayConfirmed is Replay for the dead letters with these ids, including suspect ones
// ([deadletter.Letter]'s Suspect). It is meant for an operator that has checked their
// content and topic. Without ids it is an error.
func (b *Broker) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	c, err := b.Client()
	if err != nil {
		return 0, err
	}
	return c.ReplayConfirmed(ctx, ids...)
}

// OutboxQuarantined lists up to limit messages that the outbox has quarantined and
// whose Seq is greater than after, in the order of Seq: each with its time, reason and,
// if it can be decoded, the message. The error is BAD_REQUEST without an outbox, and
// OUTBOX_FAILED if the store fails.
func (b *Broker) OutboxQuarantined(ctx context.Context, after uint64, limit int) ([]outbox.Quarantined, error) {
	c, err := b.Client()
	if err != nil {
		return nil, err
	}
	return c.OutboxQuarantined(ctx, after, limit)
}

// OutboxRequeue returns quarantined messages to the outbox, to be sent before the
// waiting messages of their key: all of them, or none with the error OUTBOX_FULL. A
// message that no longer exists is not an error. The other errors are those of
// OutboxQuarantined.
func (b *Broker) OutboxRequeue(ctx context.Context, seqs ...uint64) error {
	c, err := b.Client()
	if err != nil {
		return err
	}
	return c.OutboxRequeue(ctx, seqs...)
}

// OutboxDiscard permanently removes quarantined messages. A message that no longer
// exists is not an error. The other errors are those of OutboxQuarantined.
func (b *Broker) OutboxDiscard(ctx context.Context, seqs ...uint64) error {
	c, err := b.Client()
	if err != nil {
		return err
	}
	return c.OutboxDiscard(ctx, seqs...)
}
