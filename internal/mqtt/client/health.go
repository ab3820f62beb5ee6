package client

import (
	"slices"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Health is a snapshot. It needs no connection.
func (c *Client) Health() event.Health {
	h := event.Health{
		Dropped: c.Dropped(), Unmatched: c.Unmatched(), UnmatchedLetters: c.counts.unmatchedLetters.Load(),
		SessionsLost: c.counts.forgotten.Load(), HeadersLost: c.Headless(),
	}
	h.Unrouted, h.IllFormed = c.unrouted.n.Load(), c.counts.illFormed.Load()
	h.Discarded, h.DeadLetterTopicFailed = c.parked.Discarded.Load(), c.parked.TopicFailed.Load()
	h.RetainedIgnored = c.counts.retainedIgnored.Load()
	h.LettersCut, h.LettersLost = c.parked.Cut.Load(), c.parked.Lost.Load()
	h.LettersOverShare = c.parked.OverShare.Load()
	c.lasting.health(&h)
	if c.outbox != nil {
		h.Outbox = c.outbox.Health()
	}
	r := c.current()
	if r == nil {
		h.LastError = ErrorOf("connect", "", c.absence())
		return h
	}
	st := r.status()
	h.Connected, h.Ready, h.LastError = st.Connected, st.Ready, ErrorOf("connect", "", st.LastError)
	for _, at := range r.subscribers() {
		at.health(&h)
	}
	for _, s := range append(slices.Clip(r.pubs.sessions), r.answers.conn.made(), r.inboxes.conn.made()) {
		h.InFlight += addSession(&h, s).InFlight
	}
	h.ForeignParked = r.parking.Foreign()
	h.Held, _ = r.parking.HeldKeys()
	h.DeadLetterError = r.parking.Problem()
	h.DeadLettersBlocked = h.DeadLetterError != nil
	h.SelfTestError = ErrorOf("self-test", "", r.test.err())
	return h
}

// addSession adds a session that is open; nil is not. It returns its place.
func addSession(h *event.Health, s *session.Session) *event.SessionHealth {
	if s == nil || !s.Started() {
		return new(event.SessionHealth)
	}
	st := s.Status()
	own := event.SessionHealth{
		ClientID: s.ClientID(), Connected: st.Connected, Ready: st.Ready, InFlight: s.InFlight(), LastError: ErrorOf("connect", "", st.LastError),
	}
	own.Filters, own.Granted, _ = s.Filters()
	h.Sessions = append(h.Sessions, own)
	noteLoss(h, st.LastLoss)
	return &h.Sessions[len(h.Sessions)-1]
}

// noteLoss keeps the latest loss.
func noteLoss(h *event.Health, l *event.LossError) {
	if l != nil && (h.LastLoss == nil || l.At.After(h.LastLoss.At)) {
		h.LastLoss = l
	}
}

// Dropped is how many QoS 0 messages found the queue full.
func (c *Client) Dropped() int64 { return c.counts.dropped.Load() }

// Unmatched is how many messages were dropped because no subscription matched.
func (c *Client) Unmatched() int64 { return c.counts.unmatched.Load() }

// Headless is how many messages went out without their user properties or
// expiry, because MQTT 3.1.1 has no place for them.
func (c *Client) Headless() int64 { return c.counts.headless.Load() }
