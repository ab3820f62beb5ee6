package bridge

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
)

// Health is a snapshot. It needs no connection.
func (b *Broker) Health() event.Health {
	s := b.state()
	if s.err != nil {
		return event.Health{LastError: s.err}
	}
	h := s.client.Health()
	held := make([]event.HeldKey, len(h.Held))
	for i, k := range h.Held {
		held[i] = event.HeldKey(k)
	}
	return event.Health{
		Connected: h.Connected, Ready: h.Ready, Filters: h.Filters, Granted: h.Granted, GrantedLower: h.GrantedLower,
		Sessions: sessions(h.Sessions),
		InFlight: h.InFlight, Queued: h.Queued, Running: h.Running,
		Dropped: h.Dropped, Unmatched: h.Unmatched, UnmatchedKept: h.UnmatchedKept, UnmatchedLetters: h.UnmatchedLetters, IllFormed: h.IllFormed, BackPressure: h.BackPressure, SessionsLost: h.SessionsLost, Unrouted: h.Unrouted,
		HeadersLost: h.Headless, ContextHeadersDropped: b.leftOut.count.Load(), Deletions: b.deletions.Load(), LateReplies: b.requests.late.Load(),
		Duplicates: b.duplicates.Load(), WithoutID: b.withoutID.Load(), Missing: b.gaps.missing.Load(), Outbox: s.outbox.health(),
		Parked: h.Parked, HeldKeys: h.HeldKeys, ForeignParked: h.ForeignParked, Held: held, Discarded: h.Discarded, LettersCut: h.LettersCut, LettersLost: h.LettersLost, DeadLetterTopicFailed: h.TopicFailed,
		DeadLettersBlocked: h.DeadLetterError != nil, DeadLetterError: h.DeadLetterError,
		SelfTestError: public("self-test", "", h.SelfTestError),
		LastLoss:      h.LastLoss,
		LastError:     public("connect", "", h.LastError),
	}
}

func sessions(all []engine.SessionHealth) (list []event.SessionHealth) {
	for _, h := range all {
		own := event.SessionHealth(h)
		own.LastError = public("connect", "", h.LastError)
		list = append(list, own)
	}
	return list
}
