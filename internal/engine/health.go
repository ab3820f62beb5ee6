package engine

import (
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// Health is a snapshot of a client.
type Health struct {
	// Connected is set while the main connection is up: the subscriber's, or
	// the publisher's when nothing is subscribed.
	Connected bool
	// Ready is set while connected with every filter granted at the QoS that was
	// asked for.
	Ready bool
	// Filters is how many are wanted, Granted how many of them the broker has
	// granted, and GrantedLower how many of those at a lower QoS.
	Filters      int
	Granted      int
	GrantedLower int
	// InFlight counts our QoS 1 and 2 messages that wait for an
	// acknowledgement.
	InFlight int
	// Queued counts messages that arrived and wait for a handler, Running those
	// that are being handled.
	Queued  int
	Running int
	// Dropped counts QoS 0 messages that found the queue full, Unmatched
	// messages that no subscription matched.
	Dropped   int64
	Unmatched int64
	// UnmatchedKept counts messages that no subscription matches yet and that are
	// kept unacknowledged for one, UnmatchedLetters those that found none in time
	// and became dead letters.
	UnmatchedKept    int
	UnmatchedLetters int64
	// IllFormed counts QoS 0 messages that were dropped because their text was
	// ill-formed.
	IllFormed int64
	// BackPressure is for how long the broker has been held up, because messages
	// found no room again and again; 0 when they do.
	BackPressure time.Duration
	// SessionsLost counts how often the broker had lost the subscriber's session.
	SessionsLost int64
	// Unrouted counts messages that the broker took although no subscription
	// matches them.
	Unrouted int64
	// Headless counts messages that went out on MQTT 3.1.1 without their user
	// properties or expiry.
	Headless int64
	// Parked counts messages that are handled again from the store, HeldKeys
	// the keys that are held for them.
	Parked   int
	HeldKeys int
	// ForeignParked counts messages that are parked in the store and that no
	// subscription of this client handles.
	ForeignParked int
	// Held are the keys that most messages wait for, ten at most.
	Held []HeldKey
	// DeadLetterError is why the last letter could not be stored; nil when all
	// could.
	DeadLetterError error
	// Discarded counts messages that a policy dropped, TopicFailed dead letters
	// that are in their store and not on their topic.
	Discarded   int64
	TopicFailed int64
	// LettersCut counts dead letters that have not all of their message,
	// LettersLost messages that were discarded because the store took no form of
	// their letter.
	LettersCut  int64
	LettersLost int64
	// SelfTestError is why the self-test failed.
	SelfTestError error
	// LastLoss is the last connection that was lost, of any session since Start;
	// nil when none was.
	LastLoss *event.LossError
	// LastError is why it is not connected or not ready.
	LastError error
	// Sessions are those that were opened: subscribers, publishers, and what
	// requests use. What they count is in the numbers above, too.
	Sessions []SessionHealth
}

// SessionHealth is a snapshot of one session.
type SessionHealth struct {
	ClientID         string
	Connected, Ready bool
	Filters, Granted int
	InFlight         int
	Queued, Running  int
	LastError        error
}

// session adds what is open; nil is not. It returns its place.
func (h *Health) session(s *session.Session) *SessionHealth {
	if s == nil || !s.Started() {
		return new(SessionHealth)
	}
	st := s.Status()
	own := SessionHealth{
		ClientID: s.ClientID(), Connected: st.Connected, Ready: st.Ready, InFlight: s.InFlight(), LastError: st.LastError,
	}
	own.Filters, own.Granted, _ = s.Filters()
	h.Sessions = append(h.Sessions, own)
	h.lost(st.LastLoss)
	return &h.Sessions[len(h.Sessions)-1]
}

// Health is a snapshot of the client.
func (c *Client) Health() Health {
	h := Health{Dropped: c.Dropped(), Unmatched: c.Unmatched(), UnmatchedLetters: c.counts.unmatchedLetters.Load(), SessionsLost: c.counts.forgotten.Load(), Headless: c.Headless()}
	h.Unrouted, h.IllFormed = c.counts.unrouted.Load(), c.counts.illFormed.Load()
	h.Discarded, h.TopicFailed = c.counts.discarded.Load(), c.counts.topicFailed.Load()
	h.LettersCut, h.LettersLost = c.counts.lettersCut.Load(), c.counts.lettersLost.Load()
	r := c.current()
	if r == nil {
		h.LastError = c.absence()
		return h
	}
	st := r.status()
	h.Connected, h.Ready, h.LastError = st.Connected, st.Ready, st.LastError
	for _, at := range r.subscribers() {
		at.health(&h)
	}
	for _, s := range append(slices.Clip(r.pubs.sessions), r.answers.made(), r.inboxes.conn.made()) {
		h.InFlight += h.session(s).InFlight
	}
	h.ForeignParked = int(r.foreign.Load())
	h.Held, _ = r.held()
	h.DeadLetterError = r.troubles.last()
	h.SelfTestError = r.selfTestError()
	return h
}

// lost keeps the latest loss.
func (h *Health) lost(l *event.LossError) {
	if l != nil && (h.LastLoss == nil || l.At.After(h.LastLoss.At)) {
		h.LastLoss = l
	}
}
