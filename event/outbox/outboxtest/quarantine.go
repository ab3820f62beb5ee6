package outboxtest

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// TestQuarantineBound tests the limit of the quarantine of a store. Each call of open must
// return an empty store with room for three quarantined entries; TestQuarantineBound closes
// it.
func TestQuarantineBound(t *testing.T, open func(t *testing.T) outbox.Store) {
	t.Helper()
	s := open(t)
	t.Cleanup(func() { _ = s.Close() })
	es := make([]*outbox.Entry, 6) // with different keys, so that no share is used up
	for i := range es {
		es[i] = Entry(strconv.Itoa(i), i)
	}
	put(t, s, es...)
	for _, e := range es[:3] {
		if err := s.Quarantine(t.Context(), e.Seq, "refused"); err != nil {
			t.Fatalf("Quarantine within the bound: %v", err)
		}
	}
	if err := s.Quarantine(t.Context(), es[3].Seq, "refused"); !errors.Is(err, outbox.ErrQuarantineFull) {
		t.Errorf("Quarantine beyond the bound: %v", err)
	}
	wantIDs(t, readAll(t, s, 10), "3-3", "4-4", "5-5")
	if st := stats(t, s); st.Depth != 3 || st.Quarantined != 3 || st.MaxQuarantined != 3 {
		t.Errorf("Stats: %+v", st)
	}
	if err := s.DeleteQuarantined(t.Context(), es[0].Seq); err != nil {
		t.Fatal(err)
	}
	if err := s.Quarantine(t.Context(), es[3].Seq, "refused"); err != nil {
		t.Errorf("Quarantine with room again: %v", err)
	}
}

func testQuarantined(t *testing.T, s outbox.Store) {
	es := entries(5)
	put(t, s, es...)
	long := strings.Repeat("x", 5000)
	for i, reason := range []string{"refused: one two", "", long} {
		if err := s.Quarantine(t.Context(), es[i].Seq, reason); err != nil {
			t.Fatal(err)
		}
	}
	var got []outbox.Quarantined
	for after := uint64(0); ; after = got[len(got)-1].Seq {
		page, err := s.Quarantined(t.Context(), after, 2)
		if err != nil || len(page) > 2 {
			t.Fatalf("Quarantined: %d, %v", len(page), err)
		}
		if len(page) == 0 {
			break
		}
		got = append(got, page...)
	}
	if len(got) != 3 {
		t.Fatalf("%d are quarantined, want 3", len(got))
	}
	for i, q := range got {
		if q.Seq != es[i].Seq || q.Entry == nil || q.Entry.ID != es[i].ID || string(q.Entry.Payload) != string(es[i].Payload) {
			t.Errorf("quarantined %d: %+v", i, q)
		}
		if age := time.Since(q.Time); age < -time.Second || age > time.Minute {
			t.Errorf("quarantined %d at %v", i, q.Time)
		}
	}
	if got[0].Reason != "refused: one two" || !strings.HasPrefix(got[2].Reason, "xxx") || len(got[2].Reason) > 1024 {
		t.Errorf("reasons %q, %d bytes", got[0].Reason, len(got[2].Reason))
	}
}

func testRetryQuarantined(t *testing.T, s outbox.Store) {
	es := entries(4)
	put(t, s, es...)
	for _, e := range es[:3] {
		if err := s.Quarantine(t.Context(), e.Seq, "refused"); err != nil {
			t.Fatal(err)
		}
	}
	before := stats(t, s)
	for range 2 { // the second time they are gone
		if err := s.RetryQuarantined(t.Context(), es[2].Seq, es[0].Seq, es[3].Seq+100); err != nil {
			t.Fatalf("RetryQuarantined: %v", err)
		}
	}
	got := readAll(t, s, 10)
	wantIDs(t, got, "k-0", "k-2", "k-3")
	if got[0].Seq != es[0].Seq || got[1].Seq != es[2].Seq {
		t.Errorf("put back with seq %d, %d; had %d, %d", got[0].Seq, got[1].Seq, es[0].Seq, es[2].Seq)
	}
	st := stats(t, s)
	if st.Depth != 3 || st.Quarantined != 1 || st.Bytes <= before.Bytes || st.Oldest.Sub(es[0].Accepted).Abs() > time.Millisecond {
		t.Errorf("Stats: %+v", st)
	}
	if err := s.Delete(t.Context(), es[0].Seq, es[2].Seq, es[3].Seq); err != nil {
		t.Fatal(err)
	}
	if st = stats(t, s); st.Depth != 0 || st.Bytes != 0 || st.Quarantined != 1 {
		t.Errorf("Stats: %+v", st)
	}
}

func testDeleteQuarantined(t *testing.T, s outbox.Store) {
	es := entries(3)
	put(t, s, es...)
	if err := s.Quarantine(t.Context(), es[0].Seq, "refused"); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it takes only what is quarantined
		if err := s.DeleteQuarantined(t.Context(), es[0].Seq, es[1].Seq); err != nil {
			t.Fatalf("DeleteQuarantined: %v", err)
		}
	}
	wantIDs(t, readAll(t, s, 10), "k-1", "k-2")
	if st := stats(t, s); st.Depth != 2 || st.Quarantined != 0 {
		t.Errorf("Stats: %+v", st)
	}
	if q, err := s.Quarantined(t.Context(), 0, 10); err != nil || len(q) != 0 {
		t.Errorf("Quarantined: %v, %v", q, err)
	}
}

// testWithout checks that all other entries are returned, whether or not the excluded ones
// are.
func testWithout(t *testing.T, s outbox.Store) {
	topic := Entry("t", 1)
	topic.Key = "" // its order is its topic
	put(t, s, Entry("a", 1), Entry("b", 1), topic, Entry("a", 2), Entry("c", 1))
	var ids []string
	for after := uint64(0); ; {
		page, err := s.Read(t.Context(), after, 2, "a", topic.Topic, "none")
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, e := range page {
			after = e.Seq
			if e.Order() != "a" && e.Order() != topic.Topic {
				ids = append(ids, e.ID)
			}
		}
	}
	if len(ids) != 2 || ids[0] != "b-1" || ids[1] != "c-1" {
		t.Errorf("read %v", ids)
	}
}

func testHold(t *testing.T, s outbox.Store) {
	until, err := s.Hold(t.Context())
	if err != nil || !until.IsZero() && time.Until(until) <= 0 {
		t.Fatalf("Hold: %v, %v", until, err)
	}
	put(t, s, Entry("a", 1))
	wantIDs(t, readAll(t, s, 10), "a-1")
	if err := s.Yield(t.Context()); err != nil {
		t.Errorf("Yield: %v", err)
	}
	if again, err := s.Hold(t.Context()); err != nil || again.IsZero() != until.IsZero() {
		t.Errorf("Hold after Yield: %v, %v", again, err)
	}
}
