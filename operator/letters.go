package operator

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
)

// Bounds of a page.
const (
	DefaultPage      = 100
	MaxPage          = 1000
	DefaultPageBytes = 1 << 20
	MaxPageBytes     = 8 << 20
)

// Query selects a page of letters.
type Query struct {
	Criteria Criteria
	// State is that of the letters; "" means dead ones.
	State deadletter.State
	// Cursor is Next of the previous page; "" selects the first one.
	Cursor Cursor
	// Limit is the maximum number of letters; 0 means 100, at most 1,000. Bytes is the maximum
	// of their sizes; 0 means 1 MiB, at most 8 MiB. A page may have one letter that is larger.
	Limit int
	Bytes int64
}

func (q *Query) validate() error {
	err := q.Criteria.Validate()
	switch {
	case q.Limit < 0 || q.Limit > MaxPage:
		err = errors.Join(err, fmt.Errorf("%w: limit is %d, want 0 to %d", ErrBadRequest, q.Limit, MaxPage))
	case q.Bytes < 0 || q.Bytes > MaxPageBytes:
		err = errors.Join(err, fmt.Errorf("%w: bytes is %d, want 0 to %d", ErrBadRequest, q.Bytes, MaxPageBytes))
	}
	if q.State != "" && q.State != deadletter.Dead && q.State != deadletter.Parked {
		err = errors.Join(err, fmt.Errorf("%w: state is %q, want %s or %s", ErrBadRequest, q.State, deadletter.Dead, deadletter.Parked))
	}
	return err
}

// Page is a part of the letters.
type Page struct {
	// Letters are in the order of their ids, oldest first. It may be empty while Next is set:
	// a call reads 100,000 letters at most.
	Letters []*deadletter.Letter
	// Next is the cursor of the next page; "" means that there is none.
	Next Cursor
	// Incomplete is set if the store could not read all letters, see
	// [deadletter.ErrIncomplete].
	Incomplete bool
}

// List returns a page of letters. The error is that of the store, or wraps [ErrBadRequest] or
// [ErrUnavailable].
func (o *Operator) List(ctx context.Context, q Query) (Page, error) {
	store, err := o.store()
	if err = cmp.Or(q.validate(), err); err != nil {
		return Page{}, err
	}
	var page Page
	full := (&deadletter.Query{Limit: cmp.Or(q.Limit, DefaultPage), Bytes: cmp.Or(q.Bytes, DefaultPageBytes)}).Full()
	s := scan{store: store, state: cmp.Or(q.State, deadletter.Dead), criteria: &q.Criteria, after: string(q.Cursor)}
	more, err := s.run(ctx, func(l *deadletter.Letter) bool {
		if full(l) {
			return false
		}
		page.Letters = append(page.Letters, l)
		return true
	})
	if page.Incomplete = s.incomplete; more {
		page.Next = Cursor(s.after)
	}
	return page, err
}

// Shown is a letter with its payload decoded.
type Shown struct {
	Letter *deadletter.Letter
	// Fingerprint and Pattern are those of the letter.
	Fingerprint, Pattern string
	// Decoder is what decoded the payload: "proto" with the name of the message, "json",
	// "text", "fields" for the fields of an unknown message by their numbers, or "raw" for
	// bytes that nothing decodes.
	Decoder string
	// Text is the decoded payload: text, or JSON, in which integers that some readers of JSON
	// round are strings. It is "" for "raw".
	Text string
	// Note is the reason why no better decoder was used, or "".
	Note string
}

// Show returns the letter with this id, dead or parked. The error may be
// [deadletter.ErrNotFound].
func (o *Operator) Show(ctx context.Context, id string) (Shown, error) {
	store, err := o.store()
	if err != nil {
		return Shown{}, err
	}
	l, err := store.Get(ctx, id)
	if err != nil {
		return Shown{}, err
	}
	s := Shown{Letter: l, Fingerprint: l.Fingerprint(), Pattern: l.Pattern()}
	r := o.decoder.Decode(payloadOf(l))
	s.Decoder, s.Text, s.Note = r.Decoder, r.Text, r.Note
	if len(l.Payload) == 0 {
		s.Note = l.Omitted.String()
	}
	return s, nil
}

func payloadOf(l *deadletter.Letter) decode.Payload {
	return decode.Payload{Bytes: l.Payload, ContentType: l.ContentType, Operation: l.Operation}
}

// Group is what letters with the same cause have in common.
type Group struct {
	// Fingerprint identifies the group; [Criteria] take it.
	Fingerprint string
	// Operation, Subscription (the topic filter), ErrorType and Pattern are what it is made
	// of.
	Operation, Subscription, ErrorType, Pattern string
	// Count is the number of letters; there are more if AtLeast is set.
	Count   int
	AtLeast bool
	// First and Last are when the oldest and the newest of them were written, and FirstID and
	// LastID their ids.
	First, Last     time.Time
	FirstID, LastID string
}

// GroupPage is what a call of Groups found.
type GroupPage struct {
	// Groups are in the order of their counts, the largest of this call first.
	Groups []Group
	// Next is not "" if letters are left. Pass it to the next call as its cursor, and add up the groups with
	// the same fingerprint.
	Next Cursor
	// Incomplete is set if the store could not read all letters.
	Incomplete bool
}

// maxGroups is the number of groups that a call returns.
const maxGroups = 1000

// Groups groups the letters that a query selects by their fingerprint; Limit and Bytes have no
// effect. A call reads 100,000 letters at most and returns 1,000 groups at most. If the criteria
// are empty, a store with an index ([deadletter.Grouper]) finds all groups, and counts 100,000
// letters at most: larger groups have AtLeast set.
func (o *Operator) Groups(ctx context.Context, q Query) (GroupPage, error) {
	store, err := o.store()
	if err = cmp.Or(q.validate(), err); err != nil {
		return GroupPage{}, err
	}
	state := cmp.Or(q.State, deadletter.Dead)
	if g, ok := store.(deadletter.Grouper); ok && q.Criteria.empty() {
		return counted(ctx, store, g, state, string(q.Cursor))
	}
	groups := make(map[string]*Group)
	s := scan{store: store, state: state, criteria: &q.Criteria, after: string(q.Cursor)}
	more, err := s.run(ctx, func(l *deadletter.Letter) bool {
		cause := l.Fingerprint()
		g := groups[cause]
		if g == nil && len(groups) == maxGroups {
			return false
		}
		if g == nil {
			g = groupOf(cause, l)
			groups[cause] = g
		}
		g.Count++
		g.Last, g.LastID = l.Time, l.ID
		return true
	})
	page := GroupPage{Incomplete: s.incomplete}
	if more {
		page.Next = Cursor(s.after)
	}
	for g := range maps.Values(groups) {
		page.Groups = append(page.Groups, *g)
	}
	slices.SortFunc(page.Groups, largest)
	return page, err
}

func groupOf(cause string, l *deadletter.Letter) *Group {
	return &Group{
		Fingerprint: cause, Operation: l.Operation, Subscription: l.Filter, ErrorType: l.ErrorType, Pattern: l.Pattern(),
		First: l.Time, FirstID: l.ID,
	}
}

func largest(a, b Group) int {
	return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.FirstID, b.FirstID))
}

// counted returns the groups that the store has counted.
func counted(ctx context.Context, store deadletter.Store, g deadletter.Grouper, state deadletter.State, after string) (page GroupPage, err error) {
	counts, err := g.Groups(ctx, state, after, maxGroups)
	if err != nil {
		return page, err
	}
	if n := len(counts); n == maxGroups {
		page.Next = Cursor(counts[n-1].Fingerprint)
	}
	for _, c := range counts {
		first, err := store.Get(ctx, c.FirstID)
		last, lastErr := store.Get(ctx, c.LastID)
		switch err = cmp.Or(err, lastErr); {
		case errors.Is(err, deadletter.ErrNotFound): // gone meanwhile
			continue
		case err != nil:
			return page, err
		}
		group := groupOf(c.Fingerprint, first)
		group.Count, group.AtLeast, group.Last, group.LastID = c.Count, c.AtLeast, last.Time, last.ID
		page.Groups = append(page.Groups, *group)
	}
	slices.SortFunc(page.Groups, largest)
	return page, nil
}
