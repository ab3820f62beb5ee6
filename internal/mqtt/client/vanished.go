package client

import (
	"context"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// expectNone notes the filters that the broker has from an earlier version of the
// service and that are not expected to be registered. It is called before the session
// connects. If one of them is registered nevertheless, its handler gets the messages
// that arrive from then on.
func (t *strays) expectNone(filters []string) {
	if len(filters) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = topic.NewTrie[uint32](0)
	for _, f := range filters {
		_, _ = t.gone.Add(f, session.FilterID(f)) // on an error no broker took it either
	}
}

// isGone reports whether an unmatched message came for one of those. Waiting would
// bring it no handler and stop what is behind it: acknowledgements leave in order,
// and a broker sends no more than its window, often 20 messages. The mutex is held.
func (t *strays) isGone(m *session.Inbound) bool {
	return t.gone != nil && slices.ContainsFunc(t.gone.Match(m.Topic), m.Through)
}

// quiet waits for the end of the grace, and reports whether it came.
func (t *strays) quiet(ctx context.Context) bool {
	last := time.Now().Add(graceLimit * t.grace())
	for {
		t.mu.Lock()
		until := t.until
		t.mu.Unlock()
		if last.Before(until) {
			until = last
		}
		left := time.Until(until)
		if left <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// tellGone tells of the first such message.
func (t *strays) tellGone(m *session.Inbound) {
	then := "a dead letter"
	if t.cfg.Unmatched == event.UnmatchedDrop {
		then = "dropped"
	}
	t.log.Warnf("mqtt: topic %q is of a filter that the session of %q has from an earlier version of the service, and that this one has no subscription for: the message is %s at once; further ones are counted",
		logsafe.Clip(m.Topic), t.session, then)
}

// tidy unsubscribes what vanished from the code. It waits as long as messages wait
// for a subscription: what comes late has not vanished. New filters are granted
// by then, so that nothing is lost between an old one and the one in its place.
func tidy(ctx context.Context, at *subscriber) {
	r := at.run
	if len(r.filters.vanished(at)) == 0 {
		return
	}
	if present := at.resumed.Load(); present != nil && !*present {
		r.filters.strike(ctx, at, r.filters.vanished(at)...) // gone with the session
		return
	}
	if r.client.cfg.KeepFilters || !at.strays.quiet(ctx) {
		return
	}
	for _, f := range r.filters.vanished(at) {
		wish, ok := r.client.clear(at, f)
		if !ok {
			continue
		}
		if err := wish.Answered(ctx); err != nil {
			if ctx.Err() != nil {
				return // what is not struck out is tried again by the next run
			}
			r.client.log.Warnf("mqtt: filter %q has no subscription any more in the session of %q, and the broker does not let it go: %v", f, at.id, err)
			continue
		}
		r.client.log.Infof("mqtt: unsubscribed the session of %q from %q, which has no subscription there any more", at.id, f)
		r.filters.strike(ctx, at, f)
	}
}
