package client

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
)

// Lasting is what outlives a change of the settings: the clients that take each other's
// place share it. All methods are safe for concurrent use.
type Lasting struct {
	now    atomic.Pointer[Client] // nil until there is one
	names  names
	scopes scopes

	requests *request.Pending[*Delivery]
	replies  request.Replies // of ours to requests of others
	gaps     *sequence.Gaps
	standing standing
	losses   envelope.Losses

	duplicates, withoutID atomic.Int64
	deletions             atomic.Int64 // empty messages that no handler was called for
	contradictions        contradictions

	unnamed  sync.Once // the log tells that nothing is kept without a client id
	unplaced sync.Once // the log tells that there is no place for a sequence
}

// NewLasting returns what the first client is made with.
func NewLasting() *Lasting {
	l := &Lasting{requests: request.NewPending[*Delivery]()}
	l.losses.Warnf = func(format string, args ...any) { l.log().Warnf(format, args...) }
	l.gaps = sequence.NewGaps(l.gapReports())
	return l
}

// Client returns the present client: the last one that could be made; nil without one.
func (l *Lasting) Client() *Client { return l.now.Load() }

// log returns the logger of the present client.
func (l *Lasting) log() Logger {
	if c := l.Client(); c != nil {
		return c.log
	}
	return Silence
}

// health adds what messages were found to be.
func (l *Lasting) health(h *event.Health) {
	h.Duplicates, h.WithoutID, h.Deletions = l.duplicates.Load(), l.withoutID.Load(), l.deletions.Load()
	h.ContextHeadersDropped, h.MetadataRefused = l.losses.Headers.Load(), l.losses.Metadata.Load()
	h.RepliesDropped, h.LateReplies = l.replies.Dropped(), l.requests.Late()
	h.Missing, h.SequenceJumps, h.SequencesForgotten = l.gaps.Missing(), l.gaps.Jumps(), l.gaps.Forgotten()
	h.IDMismatches, h.KeyMismatches = l.contradictions.ids.Load(), l.contradictions.keys.Load()
}

// names are the filters and operations that were subscribed to.
type names struct {
	mu  sync.Mutex
	all map[string]struct{}
}

func (n *names) add(all ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.all == nil {
		n.all = make(map[string]struct{})
	}
	for _, name := range all {
		n.all[name] = struct{}{}
	}
}

// warnUnknown logs which keys of the configuration are about no subscription.
func (n *names) warnUnknown(p *policies, log Logger) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.by)) {
		if _, ok := n.all[name]; !ok {
			log.Warnf("mqtt: subscriber.subscriptions[%q] matches no subscription: want a topic filter or an operation", name)
		}
	}
}
