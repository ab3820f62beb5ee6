package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// DeadLetters is the store that is in use.
func (c *Client) DeadLetters() deadletter.Store { return c.store }

// bury stores a message that no retry helps. Only when this returned nil may
// the message be acknowledged.
func (r *run) bury(ctx context.Context, d *Delivery, cause error, attempts int) error {
	c := r.client
	if r.own(d) {
		c.letterLog.sayOf(d, func(others string) {
			c.log.Errorf("mqtt: a dead letter failed again and is given up, its store has it: topic %q, %d attempts%s: %v", d.Topic, attempts, others, cause)
		})
		return nil
	}
	l, err := r.letterOf(d)
	if err != nil {
		return err
	}
	if d.sub != nil && d.sub.OnDeadLetter != nil && !l.told {
		l.told = true
		c.hook(func() { d.sub.OnDeadLetter(ctx, d, cause) })
	}
	attempts = d.attempts(attempts)
	l.fill(deadletter.Dead, cause, attempts)
	if err := r.put(ctx, d); err != nil || l.lost {
		return err
	}
	r.announce(ctx, d, l.Letter)
	to := destination(c.store, l.ID)
	c.letterLog.sayOf(d, func(others string) {
		c.log.Errorf("mqtt: dead-lettered to %q as %s: topic %q, %d attempts%s: %v", to, l.ID, d.Topic, attempts, others, cause)
	})
	if h := c.cfg.Hooks.DeadLettered; h != nil {
		c.hook(func() { h(d, l.ID, to, attempts, cause) })
	}
	return nil
}

// own reports whether the message is one of our dead letters, whose handler must
// not make letters of letters for ever.
func (r *run) own(d *Delivery) bool {
	c := &r.client.cfg
	return c.DeadLetterTopic != "" && d.Topic == c.DeadLetterTopic ||
		strings.HasPrefix(d.Topic, DefaultDeadLetter) && strings.HasPrefix(d.Topic, c.letterPrefix())
}

// destination describes a store.
func destination(s deadletter.Store, id string) string {
	switch s := s.(type) {
	case *retained:
		return s.topic(id)
	case fmt.Stringer:
		return s.String()
	}
	return fmt.Sprintf("%T", s)
}

// announceTimeout bounds how long the topic may hold up a letter that its
// store has.
const announceTimeout = 5 * time.Second

// announce publishes a stored letter on the plain topic.
func (r *run) announce(ctx context.Context, d *Delivery, l *deadletter.Letter) {
	c := r.client
	to := r.letterTopic(d)
	if to == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, r.announceOnce(ctx, to, l) })
	if err != nil {
		c.counts.topicFailed.Add(1)
		c.topicLog.say(func(others string) {
			c.log.Errorf("mqtt: dead letter %s is in its store, but not on its topic%s: %v", l.ID, others, err)
		})
	}
}

// announceOnce publishes a letter, smaller when it is too large as it is. No
// error but those of a connection is worth another try.
func (r *run) announceOnce(ctx context.Context, to string, l *deadletter.Letter) error {
	for {
		m, err := r.encode(ctx, l, false)
		if err != nil {
			return err
		}
		m.Topic = to
		err = r.pubs.of(to).Publish(ctx, m)
		switch session.ReasonOf(err) {
		case session.ReasonTooLarge:
			if l = l.Smaller(); l != nil {
				continue
			}
			return backoff.Permanent(err)
		case session.ReasonBadRequest, session.ReasonBadTopic, session.ReasonNotAuthorized, session.ReasonUnsupported:
			return backoff.Permanent(err)
		}
		return err
	}
}

// letterTopic is "" for none.
func (r *run) letterTopic(d *Delivery) (to string) {
	c := r.client
	if to = c.cfg.DeadLetterTopic; d.sub == nil || d.sub.LetterTopic == nil {
		return to
	}
	c.hook(func() {
		own, err := d.sub.LetterTopic(d)
		if err == nil {
			to = own
			return
		}
		c.counts.topicFailed.Add(1)
		c.topicLog.sayOf(d, func(others string) {
			c.log.Errorf("mqtt: no dead-letter topic of its own for a message on topic %q%s: %v", d.Topic, others, err)
		})
	})
	return to
}

// encode returns a letter in its form on the wire, which depends on the protocol. A
// retained message without a payload would be none [MQTT-3.3.1-6].
func (r *run) encode(ctx context.Context, l *deadletter.Letter, retain bool) (*Message, error) {
	version, err := r.client.Protocol(ctx)
	if err != nil {
		return nil, err
	}
	properties := version != Version31 && (!retain || len(l.Payload) > 0)
	m, err := r.client.cfg.LetterKeys.Encode(l, properties)
	if err != nil {
		return nil, err
	}
	return envelope.Outgoing(m), nil
}
