package bridge

import (
	"context"
	"errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

var errNoOutbox = errors.New("there is no outbox")

// OutboxQuarantined lists up to limit messages that the outbox has put aside,
// with a Seq beyond after, in that order: each with its time, reason and, where it
// can be decoded, the message. BAD_REQUEST without an outbox, OUTBOX_FAILED when
// the store fails.
func (b *Broker) OutboxQuarantined(ctx context.Context, after uint64, limit int) (list []outbox.Quarantined, err error) {
	err = b.aside(ctx, func(k *keeper) (err error) {
		list, err = k.store.Quarantined(ctx, after, limit)
		return err
	})
	return list, err
}

// OutboxRequeue puts messages that were put aside back, to be sent before those
// of their order that still wait: all of them, or OUTBOX_FULL and none. One that is
// gone is no error. The other errors are those of [Broker.OutboxQuarantined].
func (b *Broker) OutboxRequeue(ctx context.Context, seqs ...uint64) error {
	return b.aside(ctx, func(k *keeper) error { return k.current().Requeue(ctx, seqs...) })
}

// OutboxDiscard removes messages that were put aside for good. One that is gone
// is no error. The other errors are those of [Broker.OutboxQuarantined].
func (b *Broker) OutboxDiscard(ctx context.Context, seqs ...uint64) error {
	return b.aside(ctx, func(k *keeper) error { return k.store.Discard(ctx, seqs...) })
}

func (b *Broker) aside(ctx context.Context, do func(k *keeper) error) error {
	const op = "outbox"
	if ctx == nil {
		return badRequest(op, "", "context is nil")
	}
	s := b.state()
	switch {
	case s.err != nil:
		return s.err
	case s.outbox == nil:
		return badRequest(op, "", errNoOutbox.Error())
	}
	err := do(s.outbox)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, outbox.ErrFull):
		return &event.Error{Op: op, Reason: event.ReasonOutboxFull, Cause: err}
	case ctx.Err() != nil:
		return &event.Error{Op: op, Reason: reasonOfContext(ctx.Err()), Cause: err}
	}
	return &event.Error{Op: op, Reason: event.ReasonOutboxFailed, Cause: err}
}
