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

// prepareStrays makes what brings unmatched messages to the store of dead
// letters: as one that no retry helps, tried until the store has it.
func (at *subscriber) prepareStrays() (err error) {
	r := at.run
	policy := r.policy(&Subscription{Classify: func(error) event.Verdict { return event.DeadLetter }})
	policy.DeadLetter = func(ctx context.Context, d *Delivery, cause error, _ int) error {
		return r.deadLetter(ctx, d, cause, 0) // no handler ran
	}
	all := r.observer()
	policy.Observer = delivery.Observer[*Delivery]{DeadLetterFailed: all.DeadLetterFailed, Finished: func(d *Delivery, o delivery.Outcome) {
		r.finished(d, o)
		r.client.counts.unmatchedLetters.Add(1)
	}}
	at.strays.strayWays = strayWays{
		cfg: &r.client.cfg, clientID: r.id, session: at.id, log: r.client.log, counts: &r.client.counts, drops: &r.drops,
		sched: at.sched, lane: at.sched.NewLane(0), matches: at.matches, hand: at.intake.hand,
	}
	at.strays.letters, err = delivery.NewAttempts(func(_ context.Context, d *Delivery, _ int) error {
		return cmp.Or(d.IllFormed(), errNoSubscription)
	}, policy)
	return err
}

// tellKept tells that a message is kept.
func (t *strays) tellKept(m *session.Inbound, grace time.Duration) {
	if t.counts.kept.Add(1) == 1 {
		then := "a dead letter"
		if t.cfg.Unmatched == event.UnmatchedDrop {
			then = "dropped"
		}
		t.log.Warnf("mqtt: no subscription matches topic %q: the message is kept unacknowledged for %v, for a subscription that comes later, and then %s; further ones are counted",
			logsafe.Clip(m.Topic), grace, then)
	}
	t.drops.add(&t.drops.kept)
}

// isReply reports whether a topic is one for replies to this client. They come
// over a session of their own; in that of the subscriber an earlier version left
// some. Other topics with the same first level are anybody's.
func isReply(clientID, topic string) bool {
	for _, prefix := range []string{request.InboxOf(clientID), request.FormerInboxOf(clientID)} {
		if name, ours := strings.CutPrefix(topic, prefix); ours && uuid.Validate(name) == nil {
			return true
		}
	}
	return false
}

// settle ends what found no handler in time.
func (t *strays) settle(over []stray) {
	if t.cfg.Unmatched == event.UnmatchedDrop {
		for _, s := range over {
			t.drop(s.Inbound)
		}
		return
	}
	items := make([]delivery.Item, 0, len(over))
	for _, s := range over {
		d := &Delivery{Event: envelope.Event{Inbound: s.Inbound}}
		t.letters.Prepare(&d.task, d, s.Inbound)
		items = append(items, delivery.Item{
			Task: &d.task, Lane: t.lane, Key: t.sched.Key(s.Topic), Size: s.Size, Must: true,
		})
	}
	if len(items) > 0 {
		t.sched.Submit(items...)
	}
}

// drop acknowledges a message that nobody handles, and counts it.
func (t *strays) drop(m *session.Inbound) {
	if n := t.counts.unmatched.Add(1); n == 1 {
		t.log.Warnf("mqtt: no subscription matches topic %q: it is dropped, and further ones are counted", logsafe.Clip(m.Topic))
	}
	t.drops.add(&t.drops.unmatched)
	m.Done()
}
