package deadletter

import "github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"

// Origin is whose share of the store the letter counts for: its topic, up to the
// level that the first wildcard of its filter stands for. That is what a broker's
// access rules guard: a device that may publish below devices/7/ has one share for
// all that it sends to a subscription of devices/+/#, whatever topics it makes up.
// Where the filter has no wildcard it is the whole topic, and where there is no
// filter, as for a message without a subscription, the first two levels.
func (l *Letter) Origin() string { return originOf(l.Topic, l.Filter) }

func originOf(name, filter string) string {
	levels := 2
	if filter != "" {
		levels = topic.GuardedLevels(filter)
	}
	return topic.Guarded(name, levels)
}

// Size is about what the letter takes in a store, in bytes: what it holds, and
// 256 for the rest. The bounds of stores count it.
func (l *Letter) Size() int64 {
	n := 256 + len(l.ID) + len(l.Payload) + len(l.CorrelationData) + len(l.Topic) + len(l.Reason) + len(l.ContentType) +
		len(l.ResponseTopic) + len(l.EventID) + len(l.Filter) + len(l.Key) + len(l.Owner) + len(l.Service) + len(l.Omitted.SHA256)
	for _, h := range l.Headers {
		n += len(h.Key) + len(h.Value)
	}
	return int64(n)
}
