// Package deadlettertest tests implementations of [deadletter.Store].
package deadlettertest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// TestStore tests the contract of [deadletter.Store], and of [deadletter.FilterMemory] and
// [deadletter.Claimer] if the store implements them. Each call of open must return an empty
// store that holds at most limit letters; 0 means no limit.
func TestStore(t *testing.T, open func(t *testing.T, limit int) deadletter.Store) {
	t.Helper()
	for name, test := range map[string]struct {
		limit int
		run   func(*testing.T, deadletter.Store)
	}{
		"Empty":                {0, testEmpty},
		"PutKeepsEverything":   {0, testRoundTrip},
		"PutReplaces":          {0, testReplace},
		"PutCopiesThePayload":  {0, testAlias},
		"PutConcurrently":      {0, testConcurrent},
		"PutRefusesWithoutID":  {0, testNoID},
		"Full":                 {3, testFull},
		"FullWhileConcurrent":  {20, testFullConcurrent},
		"ListPages":            {0, testPages},
		"ListPagesInBytes":     {0, testPagesInBytes},
		"Share":                {16, testShare},
		"ListSelects":          {0, testSelect},
		"ListHasADefaultLimit": {0, testDefaultLimit},
		"Delete":               {0, testDelete},
		"RemembersFilters":     {1, testFilters},
		"KeepsWhatIsOmitted":   {0, testOmitted},
		"SelectsWhatIsOver":    {0, testOver},
		"Claims":               {0, testClaims},
		"ReplayGoesOn":         {0, testReplayGoesOn},
		"ReplaysAtOnce":        {0, testReplaysAtOnce},
		"DropsInBatches":       {0, testDropAll},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t, test.limit))
		})
	}
}

// Letter returns the n-th valid letter for tests.
func Letter(n int, state deadletter.State) *deadletter.Letter {
	at := time.Unix(1_700_000_000+int64(n), 123_000_000).UTC()
	return &deadletter.Letter{
		Message: message.Message{Topic: fmt.Sprintf("plant/%d", n), Payload: fmt.Appendf(nil, "payload %d", n), QoS: 1},
		ID:      ID(n), State: state, Filter: "plant/+", Service: "test", Reason: "no luck",
		Attempts: 3, Received: at, Time: at.Add(time.Second),
	}
}

// ID returns the id of the n-th letter.
func ID(n int) string { return fmt.Sprintf("018bcfe5-6800-7000-8000-%012x", n) }

func put(t *testing.T, s deadletter.Store, ls ...*deadletter.Letter) {
	t.Helper()
	for _, l := range ls {
		if err := s.Put(t.Context(), l); err != nil {
			t.Fatalf("Put %s: %v", l.ID, err)
		}
	}
}

func wantCounts(t *testing.T, s deadletter.Store, dead, parked int) {
	t.Helper()
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatalf("Stats: %v", err)
	}
	if st.Dead != dead || st.Parked != parked {
		t.Errorf("Stats: %d dead, %d parked; want %d, %d", st.Dead, st.Parked, dead, parked)
	}
}

func wantList(t *testing.T, s deadletter.Store, q deadletter.Query, want ...int) {
	t.Helper()
	ls, err := s.List(t.Context(), q)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	got, ids := make([]string, 0, len(ls)), make([]string, 0, len(want))
	for _, l := range ls {
		got = append(got, l.ID)
	}
	for _, n := range want {
		ids = append(ids, ID(n))
	}
	if !reflect.DeepEqual(got, ids) {
		t.Errorf("List(%+v) = %v, want %v", q, got, ids)
	}
}

// same compares what a store has to keep: times are compared to the millisecond, and nil
// equals empty.
func same(t *testing.T, got, want *deadletter.Letter) {
	t.Helper()
	g, w := *got, *want
	for _, l := range []*deadletter.Letter{&g, &w} {
		l.Received, l.Time = l.Received.UTC().Truncate(time.Millisecond), l.Time.UTC().Truncate(time.Millisecond)
		if len(l.Payload) == 0 {
			l.Payload = nil
		}
		if len(l.CorrelationData) == 0 {
			l.CorrelationData = nil
		}
		if len(l.Headers) == 0 {
			l.Headers = nil
		}
	}
	if !reflect.DeepEqual(g, w) {
		t.Errorf("read back\n%+v\nwant\n%+v", g, w)
	}
}

func testEmpty(t *testing.T, s deadletter.Store) {
	wantList(t, s, deadletter.Query{})
	wantCounts(t, s, 0, 0)
	if _, err := s.Get(t.Context(), ID(1)); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("Get: %v, want ErrNotFound", err)
	}
	if err := s.Delete(t.Context(), ID(1)); err != nil {
		t.Errorf("Delete of what is not there: %v", err)
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
}

func testRoundTrip(t *testing.T, s deadletter.Store) {
	full := Letter(1, deadletter.Parked)
	full.Message = message.Message{
		Topic: "plant/é/数", Payload: []byte{0, 1, 0xff, '\n'}, QoS: 2, Retain: true,
		ContentType: "application/json", ResponseTopic: "reply/1", CorrelationData: []byte{0xfe, 0},
		Expiry:  90 * time.Second,
		Headers: []message.Header{{Key: "b", Value: "2"}, {Key: "a", Value: ""}, {Key: "b", Value: "é"}},
	}
	full.EventID, full.Key, full.Owner = "event-1", "tenant/7", "client-1"
	full.Operation, full.ErrorType = "/plant.v1.Plants/Save", "NO_PLANT"
	full.Replayed = deadletter.Replayed{Count: 2, Edit: deadletter.Edit{By: "é", Time: full.Received, SHA256: strings.Repeat("0f", 32)}}
	least := &deadletter.Letter{ID: ID(2), State: deadletter.Dead, Message: message.Message{Topic: "t"}}
	put(t, s, full, least)
	for _, want := range []*deadletter.Letter{full, least} {
		got, err := s.Get(t.Context(), want.ID)
		if err != nil {
			t.Fatalf("Get: %v", err)
		}
		same(t, got, want)
	}
	ls, err := s.List(t.Context(), deadletter.Query{})
	if err != nil || len(ls) != 2 {
		t.Fatalf("List: %d letters, %v", len(ls), err)
	}
	same(t, ls[0], full)
	same(t, ls[1], least)
}

func testReplace(t *testing.T, s deadletter.Store) {
	l := Letter(1, deadletter.Parked)
	put(t, s, l)
	wantCounts(t, s, 0, 1)
	l.State, l.Attempts, l.Reason = deadletter.Dead, 9, "given up"
	put(t, s, l)
	wantCounts(t, s, 1, 0)
	got, err := s.Get(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	same(t, got, l)
	wantList(t, s, deadletter.Query{State: deadletter.Parked})
	wantList(t, s, deadletter.Query{State: deadletter.Dead}, 1)
}

func testAlias(t *testing.T, s deadletter.Store) {
	l := Letter(1, deadletter.Dead)
	l.Payload = []byte("AAAA")
	put(t, s, l)
	copy(l.Payload, "BBBB")
	got, err := s.Get(t.Context(), l.ID)
	if err != nil {
		t.Fatal(err)
	}
	if string(got.Payload) != "AAAA" {
		t.Errorf("payload changed to %q with the caller's buffer", got.Payload)
	}
}

func testConcurrent(t *testing.T, s deadletter.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				if err := s.Put(t.Context(), Letter(100*w+i, deadletter.Dead)); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	wantCounts(t, s, 80, 0)
}

func testNoID(t *testing.T, s deadletter.Store) {
	l := Letter(1, deadletter.Dead)
	l.ID = ""
	if err := s.Put(t.Context(), l); err == nil {
		t.Error("Put without id was accepted")
	}
	wantCounts(t, s, 0, 0)
}

func testFull(t *testing.T, s deadletter.Store) {
	put(t, s, Letter(1, deadletter.Parked), Letter(2, deadletter.Dead), Letter(3, deadletter.Dead))
	if err := s.Put(t.Context(), Letter(4, deadletter.Dead)); !errors.Is(err, deadletter.ErrFull) {
		t.Errorf("Put beyond the bound: %v, want ErrFull", err)
	}
	put(t, s, Letter(1, deadletter.Dead)) // replaced, so never refused
	wantCounts(t, s, 3, 0)
	if st, err := s.Stats(t.Context()); err != nil || st.Max != 3 {
		t.Errorf("Stats: Max %d, %v; want 3", st.Max, err)
	}
	if err := s.Delete(t.Context(), ID(2)); err != nil {
		t.Fatal(err)
	}
	put(t, s, Letter(4, deadletter.Dead))
	wantList(t, s, deadletter.Query{}, 1, 3, 4)
}

func testFullConcurrent(t *testing.T, s deadletter.Store) {
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 10 {
				err := s.Put(t.Context(), Letter(100*w+i, deadletter.Dead))
				if err != nil && !errors.Is(err, deadletter.ErrFull) {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	wantCounts(t, s, 20, 0)
}

func testPages(t *testing.T, s deadletter.Store) {
	for _, n := range []int{5, 1, 4, 2, 3} { // not in order
		put(t, s, Letter(n, deadletter.Dead))
	}
	wantList(t, s, deadletter.Query{Limit: 2}, 1, 2)
	wantList(t, s, deadletter.Query{Limit: 2, After: ID(2)}, 3, 4)
	wantList(t, s, deadletter.Query{Limit: 2, After: ID(4)}, 5)
	wantList(t, s, deadletter.Query{Limit: 2, After: ID(5)})
	if err := s.Delete(t.Context(), ID(3)); err != nil {
		t.Fatal(err)
	}
	wantList(t, s, deadletter.Query{Limit: 2, After: ID(3)}, 4, 5) // after one that is gone
}

func testSelect(t *testing.T, s deadletter.Store) {
	for n := range 6 {
		l := Letter(n, deadletter.Dead)
		if n%2 == 0 {
			l.State, l.Owner = deadletter.Parked, fmt.Sprintf("client-%d", n/4)
		}
		if n > 3 {
			l.Filter = "other/#"
		}
		put(t, s, l)
	}
	wantCounts(t, s, 3, 3)
	wantList(t, s, deadletter.Query{State: deadletter.Dead}, 1, 3, 5)
	wantList(t, s, deadletter.Query{State: deadletter.Parked, Owner: "client-0"}, 0, 2)
	wantList(t, s, deadletter.Query{Filter: "other/#"}, 4, 5)
	wantList(t, s, deadletter.Query{State: deadletter.Parked, Filter: "plant/+", Limit: 1, After: ID(0)}, 2)
	wantList(t, s, deadletter.Query{Owner: "nobody"})
}

func testDefaultLimit(t *testing.T, s deadletter.Store) {
	for n := range 101 {
		put(t, s, Letter(n, deadletter.Dead))
	}
	ls, err := s.List(t.Context(), deadletter.Query{})
	if err != nil || len(ls) != 100 {
		t.Errorf("List without limit: %d letters, %v; want 100", len(ls), err)
	}
}

func testDelete(t *testing.T, s deadletter.Store) {
	put(t, s, Letter(1, deadletter.Dead), Letter(2, deadletter.Parked), Letter(3, deadletter.Dead))
	for range 2 {
		if err := s.Delete(t.Context(), ID(1), ID(2), ID(9)); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	wantCounts(t, s, 1, 0)
	wantList(t, s, deadletter.Query{}, 3)
	if _, err := s.Get(t.Context(), ID(1)); !errors.Is(err, deadletter.ErrNotFound) {
		t.Errorf("Get of a deleted letter: %v", err)
	}
}
