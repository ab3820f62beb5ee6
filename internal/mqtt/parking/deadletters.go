package parking

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/parking/retained"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// DeadLetters creates dead letters between Start and Stop. It is safe for concurrent use.
type DeadLetters struct {
	Settings
	totals   *Totals
	problems problems
}

// NewDeadLetters returns the DeadLetters of one run.
func NewDeadLetters(s Settings, t *Totals) *DeadLetters { return &DeadLetters{Settings: s, totals: t} }

// Put stores a message as a dead letter. The message may be acknowledged only if Put
// returns nil.
func (l *DeadLetters) Put(ctx context.Context, d Delivery, cause error, attempts int) error {
	topic := d.Message().Topic
	if l.own(topic) {
		l.Log.Few("dead letters", origin(d), func(more []any) {
			l.Log.Error("mqtt: a dead letter failed again and is given up, its store has it", append(more,
				logsafe.KeyTopic, topic, logsafe.KeyAttempts, attempts, logsafe.KeyError, cause)...)
		})
		return nil
	}
	k, err := l.keep(d)
	if err != nil {
		return err
	}
	if !k.told {
		k.told = true
		l.Call(func() { d.OnDeadLetter(ctx, cause) })
	}
	attempts = d.Attempts(attempts)
	k.note(deadletter.Dead, cause, attempts)
	if err := l.store(ctx, d, k); err != nil || k.lost {
		return err
	}
	l.announce(ctx, d, k.Letter)
	to := destination(l.Store, k.ID)
	id := k.ID
	l.Log.Few("dead letters", origin(d), func(more []any) {
		l.Log.Error("mqtt: message dead-lettered", append(more, logsafe.KeyFilter, d.Filter(), logsafe.KeyTopic, topic,
			logsafe.KeyLetterID, id, logsafe.KeyDestination, to, logsafe.KeyAttempts, attempts, logsafe.KeyError, cause)...)
	})
	if h := l.DeadLettered; h != nil {
		l.Call(func() { h(event.DeadLetterInfo{Delivery: d.Info(attempts), ID: k.ID, Destination: to, Err: cause}) })
	}
	return nil
}

// own reports whether a topic is one of our dead-letter topics, whose handler must not
// turn dead letters into dead letters endlessly.
func (l *DeadLetters) own(topic string) bool {
	return l.Topic != "" && topic == l.Topic || strings.HasPrefix(topic, retained.Root) && strings.HasPrefix(topic, retained.Prefix(l.Service))
}

// destination describes where a store keeps a dead letter.
func destination(s deadletter.Store, id string) string {
	switch s := s.(type) {
	case interface{ Destination(id string) string }:
		return s.Destination(id)
	case fmt.Stringer:
		return s.String()
	}
	return fmt.Sprintf("%T", s)
}

// Finished deletes the dead letter of a message that was handled after all.
func (l *DeadLetters) Finished(d Delivery, o delivery.Outcome) {
	l.ended(d, o)
	if d.Kept() != nil && (o.Result == delivery.Handled || o.Result == delivery.Dropped) {
		l.retract(d)
	}
}

// ended counts a dropped message, and clears the problem of a message that has none any
// longer.
func (l *DeadLetters) ended(d Delivery, o delivery.Outcome) {
	if o.Result == delivery.Dropped {
		l.totals.Discarded.Add(1)
		topic, attempts := d.Message().Topic, d.Attempts(o.Attempts)
		l.Log.Few("discarded", origin(d), func(more []any) {
			l.Log.Error("mqtt: message discarded by policy", append(more,
				logsafe.KeyFilter, d.Filter(), logsafe.KeyTopic, topic, logsafe.KeyAttempts, attempts, logsafe.KeyError, o.Err)...)
		})
	}
	if d.Kept() != nil {
		l.problems.clear(d)
	}
}

// Failed reports that the store did not take a message, which is tried again.
func (l *DeadLetters) Failed(d Delivery, after time.Duration, err error) {
	topic := d.Message().Topic
	l.Log.Few("letter store", origin(d), func(more []any) {
		l.Log.Error("mqtt: dead letter not accepted, message stays as it is", append(more,
			logsafe.KeyFilter, d.Filter(), logsafe.KeyTopic, topic, logsafe.KeyRetryIn, after, logsafe.KeyError, err)...)
	})
}

// announceTimeout bounds how long publishing on the dead-letter topic may delay a dead
// letter that is already stored.
const announceTimeout = 5 * time.Second

// announce publishes a stored dead letter on its topic.
func (l *DeadLetters) announce(ctx context.Context, d Delivery, dead *deadletter.Letter) {
	to := l.topicOf(d)
	if to == "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, l.announceOnce(ctx, to, dead) })
	if err != nil {
		l.totals.TopicFailed.Add(1)
		l.Log.Few("letter topic", "", func(more []any) {
			l.Log.Error("mqtt: dead letter is in its store, but not on its topic", append(more,
				logsafe.KeyLetterID, dead.ID, logsafe.KeyDestination, to, logsafe.KeyError, err)...)
		})
	}
}

// announceOnce publishes a dead letter, in a smaller form if it is too large. Only errors
// of the connection are worth another attempt.
func (l *DeadLetters) announceOnce(ctx context.Context, to string, dead *deadletter.Letter) error {
	version, err := l.Protocol(ctx)
	if err != nil {
		return err
	}
	for {
		m, err := l.Keys.Encode(dead, version != session.Version31)
		if err != nil {
			return err
		}
		out := envelope.Outgoing(m)
		out.Topic = to
		err = l.Publish(ctx, out)
		switch event.ReasonOf(err) {
		case event.ReasonTooLarge:
			if dead = dead.Smaller(); dead != nil {
				continue
			}
			return backoff.Permanent(err)
		case event.ReasonBadRequest, event.ReasonBadTopic, event.ReasonNotAuthorized, event.ReasonUnsupported:
			return backoff.Permanent(err)
		}
		return err
	}
}

// topicOf returns the topic on which a dead letter is published, or "" for no topic.
func (l *DeadLetters) topicOf(d Delivery) (to string) {
	to = l.Topic
	l.Call(func() {
		own, err := d.DeadLetterTopic(l.Topic)
		if err == nil {
			to = own
			return
		}
		l.totals.TopicFailed.Add(1)
		topic := d.Message().Topic
		l.Log.Few("letter topic", origin(d), func(more []any) {
			l.Log.Error("mqtt: no dead-letter topic of its own for a message", append(more,
				logsafe.KeyFilter, d.Filter(), logsafe.KeyTopic, topic, logsafe.KeyError, err)...)
		})
	})
	return to
}
