package broker

import (
	"cmp"
	"slices"
)

// Session describes what the broker keeps for a client.
type Session struct {
	ClientID  string
	Version   byte
	Connected bool
	Filters   []string // sorted
	// Pending are messages of QoS 1 and 2 that the client has not acknowledged,
	// Inflight those of them that its connection has carried.
	Pending, Inflight int
}

// Sessions lists the sessions by client id. It must not be called by an
// observer.
func (b *Broker) Sessions() []Session {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := make([]Session, 0, len(b.sessions))
	for id, s := range b.sessions {
		one := Session{ClientID: id, Version: s.version, Connected: s.conn != nil, Pending: s.out.open, Inflight: s.out.inflight}
		for filter := range s.subs {
			one.Filters = append(one.Filters, filter)
		}
		slices.Sort(one.Filters)
		list = append(list, one)
	}
	slices.SortFunc(list, func(a, b Session) int { return cmp.Compare(a.ClientID, b.ClientID) })
	return list
}

// Retained lists the topics of the retained messages, sorted. It must not be
// called by an observer.
func (b *Broker) Retained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	topics := make([]string, 0, len(b.retained))
	for topic := range b.retained {
		topics = append(topics, topic)
	}
	slices.Sort(topics)
	return topics
}
