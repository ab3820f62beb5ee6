package client

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/request"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/sequence"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// Lasting has what outlives a change of the settings. Clients that replace each other share
// it. All methods are safe for concurrent use.
type Lasting struct {
	instance string // shown in Health

	now    atomic.Pointer[Client] // nil until there is a client
	names  names
	scopes scopes

	requests          *request.Pending[*Delivery]
	replies           request.Replies // ours to requests of others
	gaps              *sequence.Gaps
	subscriptionState subscriptionState
	losses            envelope.Losses
	paused            pausedNames

	lines                 logsafe.Limiter
	duplicates, withoutID atomic.Int64
	deletions             atomic.Int64 // empty messages, for which no handler was called
	contradictions        contradictions

	unnamed  sync.Once // logs that nothing is kept without a client id
	unplaced sync.Once // logs that messages have no place for a sequence
}

// NewLasting returns an empty Lasting for the first client.
func NewLasting() *Lasting {
	l := &Lasting{instance: session.NewID().String(), requests: request.NewPending[*Delivery]()}
	l.lines.Closed = func(kind string, suppressed int) {
		l.log().Warn("mqtt: lines of a kind were left out since the last one", logsafe.KeyKind, kind, logsafe.KeySuppressed, suppressed)
	}
	l.losses.Warn = func(message string, fields ...any) { l.log().Warn(message, fields...) }
	l.gaps = sequence.NewGaps(l.gapReports())
	return l
}

// Client returns the current client, the last one that could be made, or nil without one.
func (l *Lasting) Client() *Client { return l.now.Load() }

// log returns the logger of the current client.
func (l *Lasting) log() logsafe.Log {
	if c := l.Client(); c != nil {
		return c.log
	}
	return logsafe.Log{Logger: logsafe.Silence}
}

// health adds the counts of messages.
func (l *Lasting) health(h *event.Health) {
	h.Instance = l.instance
	h.Duplicates, h.WithoutID, h.Deletions = l.duplicates.Load(), l.withoutID.Load(), l.deletions.Load()
	h.ContextHeadersDropped, h.MetadataRefused = l.losses.Headers.Load(), l.losses.Metadata.Load()
	h.RepliesDropped, h.LateReplies = l.replies.Dropped(), l.requests.Late()
	h.Missing, h.SequenceJumps, h.SequencesForgotten = l.gaps.Missing(), l.gaps.Jumps(), l.gaps.Forgotten()
	h.IDMismatches, h.KeyMismatches = l.contradictions.ids.Load(), l.contradictions.keys.Load()
}

// names has the filters and operations that were subscribed to.
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

// warnUnknown logs the keys of the configuration that match no subscription.
func (n *names) warnUnknown(p *policies, log logsafe.Log) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(p.by)) {
		if _, ok := n.all[name]; !ok {
			log.Warn("mqtt: a key of subscriber.subscriptions matches no subscription: want a topic filter or an operation", logsafe.KeyNames, name)
		}
	}
}
