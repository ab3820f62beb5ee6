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

// expectNone notes the filters that the broker has from an earlier version of the service
// and that are not expected to be registered. It is called before the session connects. If
// one of them is registered nevertheless, its handler receives the messages that arrive
// from then on.
func (t *unmatched) expectNone(filters []string) {
	if len(filters) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unexpected = topic.NewTrie[uint32](0)
	for _, f := range filters {
		_, _ = t.unexpected.Add(f, session.FilterID(f)) // no broker accepts a filter that is invalid
	}
}

// isUnexpected reports whether an unmatched message came for one of those filters. Keeping
// it would only delay the messages behind it: acknowledgements are sent in order, and a
// broker sends no more than its window, often 20 messages. The mutex is held.
func (t *unmatched) isUnexpected(m *session.Inbound) bool {
	return t.unexpected != nil && slices.ContainsFunc(t.unexpected.Match(m.Topic), m.Through)
}

// quiet waits for the end of the grace, and reports whether it was reached before ctx
// ended.
func (t *unmatched) quiet(ctx context.Context) bool {
	last := time.Now().Add(graceLimit * t.grace())
	for {
		t.mu.Lock()
		until := t.graceEnd
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

// drainLimit is the maximum time to wait for what a broker has for unused filters.
const drainLimit = time.Minute

// drained waits until no message for an unused filter has arrived for a while, and reports
// whether ctx did not end before. A broker may drop what it has for a filter that is
// unsubscribed [MQTT-3.10.4-3].
func (t *unmatched) drained(ctx context.Context) bool {
	pause, last := min(time.Second, t.grace()), time.Now().Add(drainLimit)
	for {
		t.mu.Lock()
		quiet := t.lastUnexpected.Add(pause)
		t.mu.Unlock()
		if last.Before(quiet) {
			quiet = last
		}
		if time.Until(quiet) <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(time.Until(quiet))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// logUnexpected logs the first such message.
func (t *unmatched) logUnexpected(m *session.Inbound) {
	then := "a dead letter"
	if t.cfg.Unmatched == event.UnmatchedDrop {
		then = "dropped"
	}
	t.log.Warn("mqtt: a message matches a filter that the session has from an earlier version of the service, and that no subscription of this version has: it is "+then+" at once; further ones are counted",
		logsafe.KeyClientID, t.session, logsafe.KeyTopic, m.Topic)
}

// tidy unsubscribes unused filters. It first waits for the end of the grace, in case a
// subscription is registered late. New filters are granted by then, so that no message is
// lost when a filter replaces another. Shared filters go first, so that replicas of the earlier
// version get the next messages; for the others all that the broker has is waited for.
func tidy(ctx context.Context, at *subscriber) {
	r := at.run
	if len(r.filters.unused(at)) == 0 {
		return
	}
	if present := at.resumed.Load(); present != nil && !*present {
		r.filters.remove(ctx, at, r.filters.unused(at)...) // they ended with the session
		return
	}
	if r.client.cfg.KeepFilters || !at.unmatched.quiet(ctx) || !unsubscribeUnused(ctx, at, topic.IsShared) || !at.unmatched.drained(ctx) {
		return
	}
	unsubscribeUnused(ctx, at, func(string) bool { return true })
}

// unsubscribeUnused unsubscribes some unused filters, and reports whether ctx did not end
// before. Filters that are still recorded are tried again by the next run.
func unsubscribeUnused(ctx context.Context, at *subscriber, which func(filter string) bool) bool {
	r := at.run
	for _, f := range r.filters.unused(at) {
		if !which(f) {
			continue
		}
		wish, ok := r.client.clear(at, f)
		if !ok {
			continue
		}
		if err := wish.Answered(ctx); err != nil {
			if ctx.Err() != nil {
				return false
			}
			r.client.log.Warn("mqtt: a filter has no subscription any more, but the broker did not remove it", logsafe.KeyClientID, at.id, logsafe.KeyFilter, f, logsafe.KeyError, err)
			continue
		}
		r.client.log.Info("mqtt: unsubscribed from a filter that has no subscription any more", logsafe.KeyClientID, at.id, logsafe.KeyFilter, f)
		r.filters.remove(ctx, at, f)
	}
	return true
}
