package client

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Health returns a snapshot. It needs no connection.
func (c *Client) Health() event.Health {
	h := event.Health{
		QueueFull: c.Dropped(), Unmatched: c.Unmatched(), UnmatchedLetters: c.counts.unmatchedLetters.Load(),
		SessionsLost: c.counts.forgotten.Load(), HeadersLost: c.Headless(),
	}
	h.Unrouted, h.IllFormed = c.unrouted.n.Load(), c.counts.illFormed.Load()
	h.DroppedByPolicy, h.DeadLetterTopicFailed = c.parked.Discarded.Load(), c.parked.TopicFailed.Load()
	h.RetainedIgnored, h.BreakersOpened = c.counts.retainedIgnored.Load(), c.counts.breakersOpened.Load()
	h.HandlersLate = int(max(0, c.counts.late.Load()))
	h.LettersCut, h.LettersLost = c.parked.Cut.Load(), c.parked.Lost.Load()
	h.LettersOverShare, h.LetterLostAt = c.parked.OverShare.Load(), c.parked.LostAt()
	c.lasting.health(&h)
	h.CertificateError = c.cfg.certificates.problem()
	if c.outbox != nil {
		h.Outbox, h.HasOutbox = c.outbox.Health(), true
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
	h.ForeignParked, h.Pauses = r.parking.Foreign(), r.breakers.pauses(false)
	h.TopParkedKeys, _ = r.parking.ParkedKeys()
	h.DeadLetterError = r.parking.Problem()
	h.DeadLettersBlocked = h.DeadLetterError != nil
	h.SelfTestError = ErrorOf("self-test", "", r.test.err())
	c.parts.health(&h)
	return h
}

// Filters returns the topic filters of all sessions, with what the broker granted. Between Stop and
// Start there are none.
func (c *Client) Filters() (list []event.FilterHealth) {
	r := c.current()
	if r == nil {
		return nil
	}
	for _, at := range r.subscribers() {
		for _, f := range at.FilterList() {
			f.Session, f.Err = at.name, ErrorOf("subscribe", f.Filter, f.Err)
			list = append(list, f)
		}
	}
	for _, p := range c.parts.list() {
		list = append(list, p.client.Filters()...)
	}
	return list
}

// addSession adds a session unless it is nil, and returns its place.
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
	ends := s.Certificates()
	h.BrokerCertificateEnds, h.ClientCertificateEnds = earlier(h.BrokerCertificateEnds, ends.Broker), earlier(h.ClientCertificateEnds, ends.Client)
	return &h.Sessions[len(h.Sessions)-1]
}

// earlier returns the earlier of two times. A zero time does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// noteLoss keeps the latest loss.
func noteLoss(h *event.Health, l *event.LossError) {
	if l != nil && (h.LastLoss == nil || l.At.After(h.LastLoss.At)) {
		h.LastLoss = l
	}
}

// Dropped returns how many QoS 0 messages were dropped because the queue was full.
func (c *Client) Dropped() int64 { return c.counts.dropped.Load() }

// Unmatched returns how many messages were dropped because no subscription matched.
func (c *Client) Unmatched() int64 { return c.counts.unmatched.Load() }

// Headless returns how many messages were sent without their user properties or expiry,
// because MQTT 3.1.1 has no place for them.
func (c *Client) Headless() int64 { return c.counts.headless.Load() }
