package client

import (
	"context"
	"errors"
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Publish returns nil when the broker has acknowledged the message (QoS 1 and
// 2) or the bytes were handed to a live connection (QoS 0).
func (c *Client) Publish(ctx context.Context, m *Message) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	err = r.pubs.of(m.Topic).Publish(ctx, m)
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// Republish is Publish for what came from the broker: it is held to no limit of
// ours on what is published, which whoever sent it did not know.
func (c *Client) Republish(ctx context.Context, m *Message) error {
	r := c.publishing()
	if r == nil {
		return &event.Error{Op: "publish", Topic: m.Topic, Reason: event.ReasonNotConnected, Cause: errNotStarted}
	}
	return r.pubs.of(m.Topic).Publish(ctx, m)
}

// PublishAsync calls fn once with the outcome, unless it returns an error. It
// waits within ctx for a connection and for room in the in-flight window, which
// callbacks that have not run take from each other.
func (c *Client) PublishAsync(ctx context.Context, m *Message, fn func(error)) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	err = r.pubs.of(m.Topic).PublishAsync(ctx, m, fn)
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// Relay is PublishAsync for a callback that waits for nothing of the user's: one
// of those that hangs does not hold it up.
func (c *Client) Relay(ctx context.Context, m *Message, fn func(error)) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	err = r.pubs.of(m.Topic).Relay(ctx, m, fn)
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// Answer publishes the answer to a request as [Client.Publish] does, on a
// connection of its own: what cannot be delivered there holds up nothing that is
// published, nor the other way round.
func (c *Client) Answer(ctx context.Context, m *Message) error {
	r, err := c.mayPublish(m)
	if err != nil {
		return err
	}
	err = r.answers.publish(ctx, m)
	if err == nil && m.Properties != nil {
		c.accepted(r, m)
	}
	return err
}

// Apart reports whether what is published on a topic would wait for a connection
// that is not there yet, while another one is.
func (c *Client) Apart(topic string) bool {
	r := c.publishing() // also while the outbox is flushed at the end
	return r != nil && r.pubs.apart(topic)
}

// Check refuses what cannot be published, without a connection.
func (c *Client) Check(m *Message) error {
	if err := c.checkSize(m); err != nil {
		return err
	}
	return session.Valid(m)
}

// checkSize refuses a payload or headers over the limits.
func (c *Client) checkSize(m *Message) error {
	var err error
	if n := len(m.Payload); n > c.cfg.MaxPayload {
		err = payloadError(n, c.cfg.MaxPayload)
	} else if m.Properties != nil {
		err = envelope.CheckHeaders(m.Properties.User)
	}
	if err == nil {
		return nil
	}
	return &event.Error{Op: "publish", Topic: m.Topic, Reason: event.ReasonTooLarge, Cause: err}
}

func (c *Client) mayPublish(m *Message) (*run, error) {
	if m == nil {
		return nil, &event.Error{Op: "publish", Reason: event.ReasonBadRequest, Cause: errors.New("message is nil")}
	}
	if err := c.checkSize(m); err != nil {
		return nil, err
	}
	r := c.publishing()
	if r == nil {
		return nil, c.absent("publish", m.Topic)
	}
	return r, nil
}

// accepted looks at a message that the connection took: only then is the
// protocol known for sure.
func (c *Client) accepted(r *run, m *Message) {
	p := m.Properties
	if p == nil || len(p.User) == 0 && p.Expiry <= 0 || r.version.Settled() != Version31 {
		return
	}
	if c.counts.headless.Add(1) == 1 {
		c.log.Warnf("mqtt: headers are not sent: MQTT 3.1.1 has no place for user properties and expiry (first on topic %q)", m.Topic)
	}
}

// CountUnrouted counts and tells a message that the broker took although no
// subscription matches it, and that its publisher did not send again.
func (c *Client) CountUnrouted(topic string) { c.unrouted.note([]byte(topic), func(f func()) { f() }) }

func payloadError(size, limit int) error {
	return fmt.Errorf("payload of %d bytes, limit %d", size, limit)
}

// Replay publishes dead letters again as they came, without codec, carrier and
// middleware, and deletes each once the broker has it. What the broker refuses
// for what it is stays and does not stop the others; see [deadletter.Replay].
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
		return 0, badRequest("replay", "", "context is nil")
	}
	return replay(ctx, c.DeadLetters(), func(ctx context.Context, l *deadletter.Letter) error {
		err := ErrorOf("replay", l.Topic, c.Republish(ctx, envelope.Outgoing(&l.Message)))
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
