package client

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// prepareUnmatched prepares the way of unmatched messages to the dead letters: each is
// stored without an attempt of a handler, and storing is repeated until it succeeds.
func (at *subscriber) prepareUnmatched() (err error) {
	r := at.run
	policy := r.policy(&Subscription{Classify: func(error) event.Verdict { return event.VerdictDeadLetter }})
	policy.DeadLetter = func(ctx context.Context, d *Delivery, cause error, _ int) error {
		return r.deadLetter(ctx, d, cause, 0) // no handler ran
	}
	all := r.observer()
	policy.Observer = delivery.Observer[*Delivery]{DeadLetterFailed: all.DeadLetterFailed, Finished: func(d *Delivery, o delivery.Outcome) {
		r.finished(d, o)
		r.client.counts.unmatchedLetters.Add(1)
	}}
	at.unmatched.unmatchedDeps = unmatchedDeps{
		cfg: &r.client.cfg, clientID: r.id, session: at.id, log: r.client.log, counts: &r.client.counts, drops: &r.drops,
		sched: at.sched, lane: at.sched.NewLane(0), matches: at.matches, deliver: at.intake.deliverKept,
	}
	at.unmatched.letters, err = delivery.NewAttempts(func(_ context.Context, d *Delivery, _ int) error {
		return cmp.Or(d.IllFormed(), errNoSubscription)
	}, policy)
	return err
}

// showUnmatched shows the hooks a message that no subscription matches, on a worker: hooks are not
// called on the read loop, which calls it.
func (at *subscriber) showUnmatched(m *session.Inbound) {
	if at.run.flows.cfg.Hooks.Arriving == nil {
		return
	}
	task := &unmatchedArrival{flows: &at.run.flows, message: Delivery{Event: envelope.Event{Inbound: m}}}
	at.sched.Submit(delivery.Item{Task: task, Lane: at.unmatched.lane, Key: at.sched.Key(m.Topic)})
}

// logKept counts a kept message, and logs the first one.
func (t *unmatched) logKept(m *session.Inbound, grace time.Duration) {
	t.counts.kept.Add(1)
	topic := m.Topic
	t.log.Seldom("unmatched, kept", func(more []any) {
		then := "a dead letter"
		if t.cfg.Unmatched == event.UnmatchedDrop {
			then = "dropped"
		}
		t.log.Warn("mqtt: no subscription matches a message: it is kept unacknowledged for a subscription that comes later, and then "+then,
			append(more, logsafe.KeyTopic, topic, logsafe.KeyDuration, grace)...)
	})
	t.drops.add(&t.drops.kept)
}

// isReply reports whether a topic is a reply topic of this client. Replies arrive over a
// session of their own, but an earlier version left some in the session of the subscriber.
// Other topics with the same first level belong to others.
func isReply(clientID, topic string) bool {
	for _, prefix := range []string{request.InboxOf(clientID), request.FormerInboxOf(clientID)} {
		if name, ours := strings.CutPrefix(topic, prefix); ours && uuid.Validate(name) == nil {
			return true
		}
	}
	return false
}

// settle drops or dead-letters messages that found no handler in time.
func (t *unmatched) settle(over []unmatchedMessage) {
	if t.cfg.Unmatched == event.UnmatchedDrop {
		for _, s := range over {
			t.drop(s.Inbound)
		}
		return
	}
	items := make([]delivery.Item, 0, len(over))
	for _, s := range over {
		d := &Delivery{Event: envelope.Event{Inbound: s.Inbound}}
		t.letters.Prepare(&d.task, d, s.Entry())
		items = append(items, delivery.Item{
			Task: &d.task, Lane: t.lane, Key: t.sched.Key(s.Topic), Size: s.Size, Must: true,
		})
	}
	if len(items) > 0 {
		t.sched.Submit(items...)
	}
}

// drop acknowledges and counts a message without a handler.
func (t *unmatched) drop(m *session.Inbound) {
	t.counts.unmatched.Add(1)
	topic := m.Topic
	t.log.Seldom("unmatched, dropped", func(more []any) {
		t.log.Warn("mqtt: no subscription matches a message: it is dropped", append(more, logsafe.KeyTopic, topic)...)
	})
	t.drops.add(&t.drops.unmatched)
	m.Done()
}
