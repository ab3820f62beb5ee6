// Package outboxtest tests implementations of [outbox.Store].
package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// TestStore tests the contract of [outbox.Store]. Each call of open must return an empty store
// with room for at least 2,000 entries; TestStore closes it.
func TestStore(t *testing.T, open func(t *testing.T) outbox.Store) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, outbox.Store){
		"Empty":                  testEmpty,
		"Append":                 testAppend,
		"AppendKeepsEverything":  testRoundTrip,
		"AppendCopiesThePayload": testAlias,
		"AppendAllOrNone":        testAllOrNone,
		"AppendConcurrently":     testConcurrent,
		"Read":                   testRead,
		"Peek":                   testPeek,
		"Delete":                 testDelete,
		"SeqIsNeverUsedAgain":    testSeq,
		"Quarantine":             testQuarantine,
		"Quarantined":            testQuarantined,
		"RetryQuarantined":       testRetryQuarantined,
		"DeleteQuarantined":      testDeleteQuarantined,
		"ReadWithout":            testWithout,
		"Hold":                   testHold,
		"Stats":                  testStats,
		"Appended":               testAppended,
		"AppendAfterItsContext":  testContext,
		"Close":                  testClose,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			t.Cleanup(func() {
				if err := s.Close(); err != nil && !errors.Is(err, outbox.ErrClosed) {
					t.Errorf("Close: %v", err)
				}
			})
			test(t, s)
		})
	}
}

// Entry returns the n-th valid entry of a key, for tests.
func Entry(key string, n int) *outbox.Entry {
	return &outbox.Entry{
		Message: message.Message{
			Topic: "plant/" + key, Payload: fmt.Appendf(nil, "payload %d", n), QoS: 1,
		},
		ID: fmt.Sprintf("%s-%d", key, n), Key: key,
	}
}

func entries(n int) []*outbox.Entry {
	es := make([]*outbox.Entry, n)
	for i := range es {
		es[i] = Entry("k", i)
	}
	return es
}

func put(t *testing.T, s outbox.Store, es ...*outbox.Entry) {
	t.Helper()
	if err := s.Append(t.Context(), es...); err != nil {
		t.Fatalf("Append: %v", err)
	}
}

// readAll reads all pages.
func readAll(t *testing.T, s outbox.Store, limit int) []*outbox.Entry {
	t.Helper()
	var all []*outbox.Entry
	after := uint64(0)
	for {
		page, err := s.Read(t.Context(), after, limit)
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if len(page) == 0 {
			return all
		}
		if len(page) > limit {
			t.Fatalf("Read returned %d entries, limit %d", len(page), limit)
		}
		for _, e := range page {
			if e.Seq <= after {
				t.Fatalf("Read: seq %d after %d", e.Seq, after)
			}
			after = e.Seq
		}
		all = append(all, page...)
	}
}

func wantIDs(t *testing.T, got []*outbox.Entry, want ...string) {
	t.Helper()
	ids := make([]string, len(got))
	for i, e := range got {
		ids[i] = e.ID
	}
	if len(ids) == 0 && len(want) == 0 {
		return
	}
	if !reflect.DeepEqual(ids, want) {
		t.Fatalf("ids are %v, want %v", ids, want)
	}
}

func stats(t *testing.T, s outbox.Store) outbox.Stats {
	t.Helper()
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatalf("Stats: %v", err)
	}
	return st
}

func testEmpty(t *testing.T, s outbox.Store) {
	wantIDs(t, readAll(t, s, 10))
	if st := stats(t, s); st.Depth != 0 || st.Bytes != 0 || !st.Oldest.IsZero() || st.Quarantined != 0 {
		t.Errorf("Stats of an empty store: %+v", st)
	}
	put(t, s) // nothing
	if err := s.Delete(t.Context()); err != nil {
		t.Errorf("Delete of nothing: %v", err)
	}
}

func testAppend(t *testing.T, s outbox.Store) {
	before := time.Now().Add(-time.Second)
	a, b := Entry("a", 1), Entry("b", 2)
	put(t, s, a, b)
	if a.Seq == 0 || b.Seq <= a.Seq {
		t.Errorf("Seq after Append: %d, %d", a.Seq, b.Seq)
	}
	if a.Accepted.Before(before) || a.Accepted.After(time.Now().Add(time.Second)) {
		t.Errorf("Accepted after Append: %v", a.Accepted)
	}
	c := Entry("c", 3)
	put(t, s, c)
	if c.Seq <= b.Seq {
		t.Errorf("Seq of a later Append: %d after %d", c.Seq, b.Seq)
	}
	wantIDs(t, readAll(t, s, 10), "a-1", "b-2", "c-3")
	for name, bad := range map[string]*outbox.Entry{
		"id": {Message: message.Message{Topic: "t"}}, "topic": {ID: "x"},
	} {
		if err := s.Append(t.Context(), bad); err == nil {
			t.Errorf("Append without %s was accepted", name)
		}
	}
}

func testRoundTrip(t *testing.T, s outbox.Store) {
	full := &outbox.Entry{
		Message: message.Message{
			Topic: "plant/é/数", Payload: []byte{0, 1, 0xff, '\n'}, QoS: 2, Retain: true,
			ContentType: "application/json", ResponseTopic: "reply/1",
			CorrelationData: []byte{0xfe, 0}, Expiry: 90 * time.Second,
			Headers: []message.Header{{Key: "b", Value: "2"}, {Key: "a", Value: ""}, {Key: "b", Value: "é"}},
		},
		ID: outbox.NewID(), Key: "tenant/7", RetryUnrouted: 90 * time.Minute,
	}
	bare := &outbox.Entry{Message: message.Message{Topic: "t"}, ID: "y", RetryUnrouted: time.Nanosecond}
	least := &outbox.Entry{Message: message.Message{Topic: "t"}, ID: "x"}
	put(t, s, full, least, bare)
	got := readAll(t, s, 10)
	if len(got) != 3 {
		t.Fatalf("read %d entries, want 3", len(got))
	}
	for i, want := range []*outbox.Entry{full, least, bare} {
		g, w := *got[i], *want
		if d := g.Accepted.Sub(w.Accepted).Abs(); d > time.Millisecond {
			t.Errorf("Accepted read back %v off", d)
		}
		g.Accepted, w.Accepted = time.Time{}, time.Time{}
		for _, m := range []*message.Message{&g.Message, &w.Message} {
			if len(m.Payload) == 0 { // nil or empty is the same
				m.Payload = nil
			}
			if len(m.CorrelationData) == 0 {
				m.CorrelationData = nil
			}
			if len(m.Headers) == 0 {
				m.Headers = nil
			}
		}
		if !reflect.DeepEqual(g, w) {
			t.Errorf("read back\n%+v\nwant\n%+v", g, w)
		}
	}
}

func testAlias(t *testing.T, s outbox.Store) {
	e := Entry("a", 1)
	e.Payload = []byte("AAAA")
	put(t, s, e)
	copy(e.Payload, "BBBB")
	if got := readAll(t, s, 1); string(got[0].Payload) != "AAAA" {
		t.Errorf("payload changed to %q with the caller's buffer", got[0].Payload)
	}
}

func testAllOrNone(t *testing.T, s outbox.Store) {
	if err := s.Append(t.Context(), Entry("a", 1), &outbox.Entry{ID: "no topic"}); err == nil {
		t.Fatal("Append of an invalid entry was accepted")
	}
	wantIDs(t, readAll(t, s, 10))
	if st := stats(t, s); st.Depth != 0 {
		t.Errorf("depth %d after a refused Append", st.Depth)
	}
}

func testConcurrent(t *testing.T, s outbox.Store) {
	const writers, each = 16, 20
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				if err := s.Append(t.Context(), Entry(strconv.Itoa(w), i)); err != nil {
					t.Errorf("Append: %v", err)
				}
			}
		})
	}
	wg.Wait()
	next := map[string]int{}
	all := readAll(t, s, 7)
	for _, e := range all {
		if want := fmt.Sprintf("%s-%d", e.Key, next[e.Key]); e.ID != want {
			t.Errorf("key %s: %s comes where %s should", e.Key, e.ID, want)
		}
		next[e.Key]++
	}
	if len(all) != writers*each {
		t.Errorf("%d entries, want %d", len(all), writers*each)
	}
}

func testRead(t *testing.T, s outbox.Store) {
	es := entries(10)
	put(t, s, es...)
	for _, limit := range []int{1, 3, 10, 100} {
		if got := readAll(t, s, limit); len(got) != len(es) {
			t.Errorf("limit %d: %d entries, want %d", limit, len(got), len(es))
		}
	}
	got, err := s.Read(t.Context(), es[4].Seq, 2)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, got, "k-5", "k-6")
	got, err = s.Read(t.Context(), es[9].Seq, 2)
	if err != nil {
		t.Fatal(err)
	}
	wantIDs(t, got)
}

func testPeek(t *testing.T, s outbox.Store) {
	peek := func(after uint64, limit int) []*outbox.Entry {
		t.Helper()
		got, err := s.Peek(t.Context(), after, limit)
		if err != nil {
			t.Fatalf("Peek: %v", err)
		}
		return got
	}
	wantIDs(t, peek(0, 10))
	es := entries(5)
	put(t, s, es...)
	if err := s.Quarantine(t.Context(), es[1].Seq, "no"); err != nil {
		t.Fatal(err)
	}
	wantIDs(t, peek(0, 10), "k-0", "k-2", "k-3", "k-4")
	wantIDs(t, peek(0, 2), "k-0", "k-2")
	wantIDs(t, peek(es[2].Seq, 10), "k-3", "k-4")
	wantIDs(t, peek(es[4].Seq, 10))
	wantIDs(t, readAll(t, s, 10), "k-0", "k-2", "k-3", "k-4")
}

func testDelete(t *testing.T, s outbox.Store) {
	es := entries(6)
	put(t, s, es...)
	for range 2 { // twice: gone already
		if err := s.Delete(t.Context(), es[4].Seq, es[0].Seq, es[1].Seq); err != nil {
			t.Fatalf("Delete: %v", err)
		}
	}
	if err := s.Delete(t.Context(), es[5].Seq+100); err != nil {
		t.Errorf("Delete of what never was: %v", err)
	}
	wantIDs(t, readAll(t, s, 10), "k-2", "k-3", "k-5")
	if st := stats(t, s); st.Depth != 3 {
		t.Errorf("depth %d, want 3", st.Depth)
	}
}

func testSeq(t *testing.T, s outbox.Store) {
	last := uint64(0)
	for i := range 3 {
		e := Entry("k", i)
		put(t, s, e)
		if e.Seq <= last {
			t.Fatalf("seq %d after %d", e.Seq, last)
		}
		last = e.Seq
		if err := s.Delete(t.Context(), e.Seq); err != nil {
			t.Fatal(err)
		}
	}
}

func testQuarantine(t *testing.T, s outbox.Store) {
	es := entries(3)
	put(t, s, es...)
	for range 2 {
		if err := s.Quarantine(t.Context(), es[1].Seq, "refused: bad topic"); err != nil {
			t.Fatalf("Quarantine: %v", err)
		}
	}
	if err := s.Quarantine(t.Context(), es[2].Seq+100, "gone"); err != nil {
		t.Errorf("Quarantine of what is not there: %v", err)
	}
	wantIDs(t, readAll(t, s, 10), "k-0", "k-2")
	if st := stats(t, s); st.Depth != 2 || st.Quarantined != 1 {
		t.Errorf("Stats: depth %d, quarantined %d, want 2 and 1", st.Depth, st.Quarantined)
	}
}

func testStats(t *testing.T, s outbox.Store) {
	var want int64
	es := entries(5)
	for _, e := range es {
		put(t, s, e)
		want += int64(e.Size())
	}
	st := stats(t, s)
	if st.Depth != 5 || st.Bytes < want/2 || st.Bytes > 2*want {
		t.Errorf("Stats: depth %d, %d bytes; want 5, about %d", st.Depth, st.Bytes, want)
	}
	if d := st.Oldest.Sub(es[0].Accepted).Abs(); d > time.Millisecond {
		t.Errorf("Oldest is %v off", d)
	}
	if err := s.Delete(t.Context(), es[0].Seq, es[1].Seq); err != nil {
		t.Fatal(err)
	}
	st = stats(t, s)
	if d := st.Oldest.Sub(es[2].Accepted).Abs(); d > time.Millisecond {
		t.Errorf("Oldest is %v off after the oldest are gone", d)
	}
	if err := s.Delete(t.Context(), es[2].Seq, es[3].Seq, es[4].Seq); err != nil {
		t.Fatal(err)
	}
	if st = stats(t, s); st.Depth != 0 || st.Bytes != 0 || !st.Oldest.IsZero() {
		t.Errorf("Stats after the last is gone: %+v", st)
	}
}

func testAppended(t *testing.T, s outbox.Store) {
	c := s.Appended()
	if c == nil {
		return // the relay polls
	}
	select {
	case <-c:
	default:
	}
	put(t, s, Entry("a", 1))
	select {
	case <-c:
	case <-time.After(10 * time.Second):
		t.Error("Append was not told")
	}
}

func testContext(t *testing.T, s outbox.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := s.Append(ctx, Entry("a", 1))
	n := len(readAll(t, s, 10))
	if err == nil && n != 1 {
		t.Error("Append returned nil and nothing is there")
	}
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("Append with a context that has ended: %v", err)
	}
}

func testClose(t *testing.T, s outbox.Store) {
	put(t, s, Entry("a", 1))
	if err := s.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
	ctx := t.Context()
	_, readErr := s.Read(ctx, 0, 1)
	_, peekErr := s.Peek(ctx, 0, 1)
	_, statsErr := s.Stats(ctx)
	_, listErr := s.Quarantined(ctx, 0, 1)
	_, holdErr := s.Hold(ctx)
	for name, err := range map[string]error{
		"Append": s.Append(ctx, Entry("a", 2)), "Read": readErr, "Peek": peekErr, "Stats": statsErr,
		"Delete": s.Delete(ctx, 1), "Quarantine": s.Quarantine(ctx, 1, "x"), "Close": s.Close(),
		"Quarantined": listErr, "RetryQuarantined": s.RetryQuarantined(ctx, 1), "DeleteQuarantined": s.DeleteQuarantined(ctx, 1), "Hold": holdErr,
	} {
		if !errors.Is(err, outbox.ErrClosed) {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}
