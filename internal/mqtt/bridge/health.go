package bridge

import (
	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Health is a snapshot. It needs no connection.
func (b *Broker) Health() event.Health {
	s := b.state()
	if s.err != nil {
		return event.Health{LastError: s.err}
	}
	h := s.client.Health()
	h.ContextHeadersDropped, h.Deletions = b.losses.Headers.Load(), b.deletions.Load()
	h.MetadataRefused = b.losses.Metadata.Load()
	h.RepliesDropped = b.replies.Dropped()
	h.LateReplies, h.Missing = b.requests.Late(), b.gaps.Missing()
	h.Duplicates, h.WithoutID = b.duplicates.Load(), b.withoutID.Load()
	h.SequenceJumps, h.SequencesForgotten = b.gaps.Jumps(), b.gaps.Forgotten()
	h.IDMismatches, h.KeyMismatches = b.contradictions.ids.Load(), b.contradictions.keys.Load()
	if s.outbox != nil {
		h.Outbox = s.outbox.Health()
	}
	return h
}
