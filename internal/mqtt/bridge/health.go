package bridge

import "github.com/kratos-mqtt/kratos-mqtt/event"

// Health is a snapshot. It needs no connection.
func (b *Broker) Health() event.Health {
	s := b.state()
	if s.err != nil {
		return event.Health{LastError: s.err}
	}
	h := s.client.Health()
	h.ContextHeadersDropped = b.losses.Headers.Load()
	h.MetadataRefused = b.losses.Metadata.Load()
	h.RepliesDropped = b.replies.Dropped()
	h.LateReplies, h.Missing = b.requests.Late(), b.gaps.Missing()
	h.SequenceJumps, h.SequencesForgotten = b.gaps.Jumps(), b.gaps.Forgotten()
	if s.outbox != nil {
		h.Outbox = s.outbox.Health()
	}
	return h
}
