package service

import (
	"context"

	operatorv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/operator/v1"
)

// Groups are letters by their causes.
type Groups struct {
	Groups []*operatorv1.Group
	// Count is the number of letters; More is set if there may be more.
	Count int64
	More  bool
	// Incomplete is set if the store could not read all letters.
	Incomplete bool
}

// Groups returns the groups of letters, added up over the pages until there are enough letters; 0
// means all. Its errors are those of the operator.
func (s *Service) Groups(ctx context.Context, criteria *operatorv1.Criteria, state operatorv1.State, enough int64) (all Groups, err error) {
	at, r := make(map[string]*operatorv1.Group), &operatorv1.ListGroupsRequest{Criteria: criteria, State: state}
	var walk Walk
	for {
		reply, err := s.Operator.ListGroups(ctx, r)
		if err != nil {
			return Groups{}, err
		}
		for _, g := range reply.GetGroups() {
			all.Count, all.More = all.Count+g.GetCount(), all.More || g.GetAtLeast()
			known, ok := at[g.GetFingerprint()]
			if !ok {
				at[g.GetFingerprint()], all.Groups = g, append(all.Groups, g)
				continue
			}
			known.Count += g.GetCount()
			known.AtLeast = known.GetAtLeast() || g.GetAtLeast()
			if g.GetFirst().AsTime().Before(known.GetFirst().AsTime()) {
				known.First, known.FirstId = g.GetFirst(), g.GetFirstId()
			}
			if g.GetLast().AsTime().After(known.GetLast().AsTime()) {
				known.Last, known.LastId = g.GetLast(), g.GetLastId()
			}
		}
		all.Incomplete = all.Incomplete || reply.GetIncomplete()
		next := reply.GetNext()
		switch {
		case next == "":
			return all, nil
		case enough > 0 && all.Count >= enough:
			all.More = true
			return all, nil
		}
		if err := walk.Next(r.GetCursor(), next); err != nil {
			return Groups{}, err
		}
		r.Cursor = next
	}
}
