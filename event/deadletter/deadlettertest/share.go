package deadlettertest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// ofOrigin returns the n-th letter of an origin, with its own topic.
func ofOrigin(origin string, n int) *deadletter.Letter {
	l := Letter(n, deadletter.Dead)
	l.Filter, l.Topic = "plant/+/#", fmt.Sprintf("plant/%s/made/up/%d", origin, n)
	return l
}

// testShare lets one origin fill half of the store; after that it gets no more than its share,
// and the other origins have room.
func testShare(t *testing.T, s deadletter.Store) {
	n := 0
	stored := func(origin string, sent int) (kept int) {
		t.Helper()
		for range sent {
			n++
			switch err := s.Put(t.Context(), ofOrigin(origin, n)); {
			case err == nil:
				kept++
			case !errors.Is(err, deadletter.ErrShare) || errors.Is(err, deadletter.ErrFull):
				t.Fatalf("%s: %v, want ErrShare", origin, err)
			}
		}
		return kept
	}
	for _, tt := range []struct {
		origin     string
		sent, want int
	}{{"A", 100, 8}, {"B", 100, 2}, {"C", 2, 2}, {"A", 100, 0}, {"D", 2, 2}, {"E", 2, 2}, {"A", 100, 0}} {
		if got := stored(tt.origin, tt.sent); got != tt.want {
			t.Errorf("%d letters of %s kept, want %d", got, tt.origin, tt.want)
		}
	}
	if err := s.Put(t.Context(), ofOrigin("F", n+1)); !errors.Is(err, deadletter.ErrFull) || errors.Is(err, deadletter.ErrShare) {
		t.Errorf("in a full store: %v, want ErrFull", err)
	}
	put(t, s, ofOrigin("A", 1)) // replaced, so never refused
	wantCounts(t, s, 16, 0)
	ids := make([]string, 0, 8)
	for i := range 8 {
		ids = append(ids, ID(i+1))
	}
	if err := s.Delete(t.Context(), ids...); err != nil {
		t.Fatal(err)
	}
	if got := stored("A", 1); got != 1 {
		t.Errorf("%d letters kept once those before are gone, want 1", got)
	}
}

// testPagesInBytes checks that pages end at the requested number of bytes.
func testPagesInBytes(t *testing.T, s deadletter.Store) {
	for n := range 7 {
		l := Letter(n, []deadletter.State{deadletter.Dead, deadletter.Parked}[n%2])
		l.Payload = []byte(strings.Repeat("x", 10_000))
		put(t, s, l)
	}
	for _, tt := range []struct {
		q    deadletter.Query
		want []int
	}{
		{deadletter.Query{Bytes: 25_000}, []int{2, 2, 2, 1}},
		{deadletter.Query{Bytes: 1}, []int{1, 1, 1, 1, 1, 1, 1}}, // one at least
		{deadletter.Query{Bytes: 25_000, Limit: 1, State: deadletter.Parked}, []int{1, 1, 1}},
		{deadletter.Query{Bytes: 25_000, State: deadletter.Dead}, []int{2, 2}},
		{deadletter.Query{}, []int{7}},
	} {
		var got []int
		q := tt.q
		for {
			page, err := s.List(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) == 0 {
				break
			}
			got, q.After = append(got, len(page)), page[len(page)-1].ID
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%+v: pages of %v, want %v", tt.q, got, tt.want)
		}
	}
}
