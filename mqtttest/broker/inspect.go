package broker

import (
	"cmp"
	"maps"
	"slices"
)

// Session describes the session of a client.
type Session struct {
	ClientID  string
	Node      int // that has it, see [WithNodes]
	Version   byte
	Connected bool
	Filters   []string // sorted
	// Pending is the number of QoS 1 and 2 messages that the client has not acknowledged;
	// Inflight is how many of them were sent on its connection.
	Pending, Inflight int
}

// describe lists sessions by client id.
func describe(sessions map[string]*session) []Session {
	list := make([]Session, 0, len(sessions))
	for _, s := range sessions {
		list = append(list, Session{
			ClientID: s.id, Node: s.home, Version: s.version, Connected: s.conn != nil, Filters: slices.Sorted(maps.Keys(s.subs)),
			Pending: s.out.open, Inflight: s.out.inflight,
		})
	}
	slices.SortFunc(list, func(a, b Session) int {
		return cmp.Or(cmp.Compare(a.ClientID, b.ClientID), cmp.Compare(a.Node, b.Node))
	})
	return list
}
