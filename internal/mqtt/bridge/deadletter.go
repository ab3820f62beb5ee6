package bridge

import (
	"context"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// DeadLetters is the store that is in use: the one that was chosen, or the
// retained messages at the broker, which need a connection.
func (b *Broker) DeadLetters() (deadletter.Store, error) {
	s := b.state()
	if s.err != nil {
		return nil, s.err
	}
	return s.client.DeadLetters(), nil
}

// Replay publishes dead letters again as they came, without codec, carrier and
// middleware, and deletes each once the broker has it. What the broker refuses
// for what it is stays and does not stop the others; see [deadletter.Replay].
func (b *Broker) Replay(ctx context.Context, ids ...string) (int, error) {
	return b.replay(ctx, deadletter.Replay, ids)
}

// ReplayConfirmed is Replay of named letters, also of suspect ones.
func (b *Broker) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	return b.replay(ctx, deadletter.ReplayConfirmed, ids)
}

type replayFunc func(context.Context, deadletter.Store, func(context.Context, *deadletter.Letter) error, ...string) (int, error)

func (b *Broker) replay(ctx context.Context, replay replayFunc, ids []string) (int, error) {
	if ctx == nil {
		return 0, badRequest("replay", "", "context is nil")
	}
	s := b.state()
	if s.err != nil {
		return 0, s.err
	}
	return replay(ctx, s.client.DeadLetters(), func(ctx context.Context, l *deadletter.Letter) error {
		err := client.ErrorOf("replay", l.Topic, s.client.Republish(ctx, envelope.Outgoing(&l.Message)))
		if ofTheLetter(err) {
			return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
		}
		return err
	}, ids...)
}

// ofTheLetter reports whether a publish failed for what the message is, so that
// another one may go well.
func ofTheLetter(err error) bool {
	e, ok := errors.AsType[*event.Error](err)
	if !ok {
		return false
	}
	switch e.Reason {
	case event.ReasonTooLarge, event.ReasonBadTopic, event.ReasonBadRequest, event.ReasonNotAuthorized,
		event.ReasonRefused, event.ReasonUnsupported:
		return true
	}
	return false
}
