package client

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
)

// Replay publishes dead letters again as they came, without codec, carrier and
// middleware, and deletes each once the broker has it. What the broker refuses
// for what it is, or accepts for nobody, stays and does not stop the others; see
// [deadletter.Replay].
func (c *Client) Replay(ctx context.Context, ids ...string) (int, error) {
	return c.replay(ctx, deadletter.Replay, ids)
}

// ReplayConfirmed is Replay of named letters, also of suspect ones.
func (c *Client) ReplayConfirmed(ctx context.Context, ids ...string) (int, error) {
	return c.replay(ctx, deadletter.ReplayConfirmed, ids)
}

type replayFunc func(context.Context, deadletter.Store, func(context.Context, *deadletter.Letter) error, ...string) (int, error)

func (c *Client) replay(ctx context.Context, replay replayFunc, ids []string) (int, error) {
	if ctx == nil {
		return 0, BadRequest("replay", "", "context is nil")
	}
	return replay(ctx, c.DeadLetters(), c.PublishLetter, ids...)
}

// PublishLetter publishes the message of a dead letter as it came, marked with how often it was
// replayed. An error that is due to the message is [deadletter.ErrUnfit], and
// [deadletter.ErrUnrouted] if nobody subscribes to its topic.
func (c *Client) PublishLetter(ctx context.Context, l *deadletter.Letter) error {
	if ctx == nil || l == nil {
		return BadRequest("replay", "", "context or letter is nil")
	}
	m := l.Message
	c.cfg.SigningKeys.MarkReplayed(&m, l.Replayed)
	out, unrouted := envelope.Outgoing(&m), new(atomic.Bool)
	out.Unrouted = func() (again bool) {
		unrouted.Store(true)
		return true // the letter stays, to be replayed again
	}
	// The limits of this client do not count: its sender did not know them.
	err := ErrorOf("replay", l.Topic, c.send(ctx, &Outgoing{Message: *out}))
	switch {
	case ofTheLetter(err):
		return fmt.Errorf("%w: %w", deadletter.ErrUnfit, err)
	case err == nil && unrouted.Load():
		return deadletter.ErrUnrouted
	}
	return err
}

// RetryParked has parked messages handled at once; see [parking.Parking.RetryNow].
func (c *Client) RetryParked(ctx context.Context, ids ...string) (int, error) {
	if ctx == nil {
		return 0, BadRequest("retry", "", "context is nil")
	}
	r := c.current()
	if r == nil {
		return 0, c.absent("retry", "")
	}
	return r.parking.RetryNow(ids...), nil
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
