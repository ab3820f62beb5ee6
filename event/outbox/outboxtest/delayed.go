package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// DelayedStore is a store that keeps delayed entries.
type DelayedStore interface {
	outbox.Store
	outbox.Delayer
}

// TestDelayer tests the contract of [outbox.Delayer]. Each call of open must return an empty
// store with these limits; TestDelayer closes it.
func TestDelayer(t *testing.T, open func(t *testing.T, maxEntries, maxDelayed int) DelayedStore) {
	t.Helper()
	for name, test := range map[string]func(*testing.T, DelayedStore){
		"DelayedIsNotWaiting":       testDelayedApart,
		"JoinsTheEnd":               testJoins,
		"DueAtOnce":                 testDueAtOnce,
		"KeepsEverything":           testDelayedRoundTrip,
		"Cancel":                    testCancel,
		"CancelRacesWithRelease":    testCancelRace,
		"DelayedInOrder":            testDelayedList,
		"ItsOwnLimit":               testDelayedLimit,
		"LeavesHalfOfTheRoom":       testHalf,
		"TheClockJumps":             testJump,
		"ExpiryCountsFromTheEnd":    testAccepted,
		"DelayedHint":               testDelayedHint,
		"DelayedAfterClose":         testDelayedClosed,
		"AppendAllOrNoneOfBothKind": testMixed,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, 40, 30)
			t.Cleanup(func() { _ = s.Close() })
			if _, err := s.Hold(t.Context()); err != nil {
				t.Fatal(err)
			}
			test(t, s)
		})
	}
}

// start is a time in the future, so that nothing is due by itself while a test runs.
func start() time.Time { return time.Now().Add(time.Hour).Truncate(time.Millisecond) }

// later returns an entry that is due d after a time.
func later(key string, n int, at time.Time, d time.Duration) *outbox.Entry {
	e := Entry(key, n)
	e.Due = at.Add(d)
	return e
}

func release(t *testing.T, s DelayedStore, now time.Time, limit, want int) (next time.Time) {
	t.Helper()
	n, next, err := s.Release(t.Context(), now, limit)
	if err != nil || n != want {
		t.Fatalf("Release moved %d, %v; want %d", n, err, want)
	}
	return next
}

func cancel(t *testing.T, s DelayedStore, want int, ids ...string) {
	t.Helper()
	if n, err := s.Cancel(t.Context(), ids...); err != nil || n != want {
		t.Fatalf("Cancel of %v: %d, %v; want %d", ids, n, err, want)
	}
}

func delayed(t *testing.T, s DelayedStore, want int) outbox.Stats {
	t.Helper()
	st := stats(t, s)
	if st.Delayed != want || (want == 0) != st.NextDue.IsZero() || (want == 0) != (st.DelayedBytes == 0) {
		t.Fatalf("%d are delayed, %d bytes, next due %v; want %d", st.Delayed, st.DelayedBytes, st.NextDue, want)
	}
	return st
}

func testDelayedApart(t *testing.T, s DelayedStore) {
	at := start()
	put(t, s, later("k", 0, at, time.Minute))
	put(t, s, Entry("k", 1))
	wantIDs(t, readAll(t, s, 10), "k-1")
	st := delayed(t, s, 1)
	if st.Depth != 1 || st.MaxDelayed != 30 || st.MaxDelayedBytes == 0 || st.DelayedBytes != int64(Entry("k", 0).Size()) || !st.NextDue.Equal(at.Add(time.Minute)) {
		t.Errorf("Stats: %+v", st)
	}
}

func testJoins(t *testing.T, s DelayedStore) {
	at := start()
	put(t, s, later("k", 3, at, 3*time.Second), later("k", 1, at, time.Second), later("k", 2, at, 2*time.Second), later("k", 11, at, time.Second))
	put(t, s, Entry("k", 0))
	if next := release(t, s, at, 10, 0); !next.Equal(at.Add(time.Second)) {
		t.Errorf("next due %v", next)
	}
	if next := release(t, s, at.Add(2*time.Second), 2, 2); !next.Equal(at.Add(2 * time.Second)) {
		t.Errorf("next due %v", next)
	}
	if next := release(t, s, at.Add(2*time.Second), 10, 1); !next.Equal(at.Add(3 * time.Second)) {
		t.Errorf("next due %v", next)
	}
	wantIDs(t, readAll(t, s, 10), "k-0", "k-1", "k-11", "k-2")
	if next := release(t, s, at.Add(time.Hour), 10, 1); !next.IsZero() {
		t.Errorf("next due %v", next)
	}
	put(t, s, Entry("k", 4))
	wantIDs(t, readAll(t, s, 10), "k-0", "k-1", "k-11", "k-2", "k-3", "k-4")
	delayed(t, s, 0)
	if st := stats(t, s); st.Depth != 6 {
		t.Errorf("Stats: %+v", st)
	}
}

func testDueAtOnce(t *testing.T, s DelayedStore) {
	put(t, s, later("k", 0, time.Now(), -time.Hour), Entry("k", 1))
	all := readAll(t, s, 10)
	wantIDs(t, all, "k-0", "k-1")
	if !all[0].Due.IsZero() {
		t.Errorf("a waiting entry is due at %v, want zero", all[0].Due)
	}
	delayed(t, s, 0)
}

func testDelayedRoundTrip(t *testing.T, s DelayedStore) {
	at := start()
	e := later("key", 1, at, time.Second)
	e.Message = message.Message{
		Topic: "a/b", Payload: []byte{0, 1, 255}, QoS: 2, Retain: true, ContentType: "application/json",
		ResponseTopic: "r", CorrelationData: []byte{0}, Expiry: 90 * time.Second,
		Headers: []message.Header{{Key: "a", Value: "1"}, {Key: "a", Value: "2"}},
	}
	e.RetryUnrouted = time.Minute
	put(t, s, e)
	list, err := s.Delayed(t.Context(), nil, 10)
	if err != nil || len(list) != 1 || !list[0].Due.Equal(e.Due) {
		t.Fatalf("Delayed: %v, %v", list, err)
	}
	release(t, s, at.Add(time.Second), 10, 1)
	got := readAll(t, s, 10)
	if len(got) != 1 {
		t.Fatalf("%d entries", len(got))
	}
	for what, g := range map[string]*outbox.Entry{"delayed": list[0], "waiting": got[0]} {
		if fmt.Sprintf("%q", fmt.Sprint(g.Message)) != fmt.Sprintf("%q", fmt.Sprint(e.Message)) || g.ID != e.ID || g.Key != e.Key || g.RetryUnrouted != e.RetryUnrouted {
			t.Errorf("%s: %+v, want %+v", what, g, e)
		}
	}
}

func testCancel(t *testing.T, s DelayedStore) {
	at := start()
	again := later("k", 1, at, 2*time.Second) // the same id
	put(t, s, later("k", 0, at, time.Second), later("k", 1, at, time.Second), later("k", 2, at, time.Second), again)
	put(t, s, Entry("k", 3))
	cancel(t, s, 2, "k-1", "k-3", "unknown")
	cancel(t, s, 0, "k-1")
	cancel(t, s, 0)
	delayed(t, s, 2)
	release(t, s, at.Add(time.Second), 10, 2)
	cancel(t, s, 0, "k-0")
	wantIDs(t, readAll(t, s, 10), "k-3", "k-0", "k-2")
}

// Each entry is cancelled or released, and never both or neither.
func testCancelRace(t *testing.T, s DelayedStore) {
	const n = 15
	at := start()
	for round := range 4 {
		ids := make([]string, 0, n)
		for i := range n {
			e := later(fmt.Sprint("r", round), i, at, time.Second)
			put(t, s, e)
			ids = append(ids, e.ID)
		}
		before := len(readAll(t, s, 100))
		var wg sync.WaitGroup
		var canceled, moved int
		wg.Go(func() {
			for _, id := range ids {
				c, err := s.Cancel(t.Context(), id)
				if err != nil {
					t.Errorf("Cancel: %v", err)
				}
				canceled += c
			}
		})
		wg.Go(func() {
			for range n {
				m, _, err := s.Release(t.Context(), at.Add(time.Minute), 1)
				if err != nil {
					t.Errorf("Release: %v", err)
				}
				moved += m
			}
		})
		wg.Wait()
		m, _, err := s.Release(t.Context(), at.Add(time.Minute), n)
		if err != nil {
			t.Fatal(err)
		}
		moved += m
		all := readAll(t, s, 100)
		if canceled+moved != n || len(all)-before != moved {
			t.Fatalf("%d cancelled, %d released, %d waiting, of %d", canceled, moved, len(all)-before, n)
		}
		seqs := make([]uint64, 0, len(all))
		for _, e := range all {
			seqs = append(seqs, e.Seq)
		}
		if err := s.Delete(t.Context(), seqs...); err != nil {
			t.Fatal(err)
		}
	}
	delayed(t, s, 0)
}

func testDelayedList(t *testing.T, s DelayedStore) {
	at := start()
	for i := range 10 {
		put(t, s, later("k", i, at, time.Duration((i*7)%10)*time.Second))
	}
	var got []*outbox.Entry
	var after *outbox.Entry
	for {
		page, err := s.Delayed(t.Context(), after, 3)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		got, after = append(got, page...), page[len(page)-1]
	}
	wantIDs(t, got, "k-0", "k-3", "k-6", "k-9", "k-2", "k-5", "k-8", "k-1", "k-4", "k-7")
}

func testDelayedLimit(t *testing.T, s DelayedStore) {
	at := start()
	for i := range 30 {
		put(t, s, later("k", i, at, time.Second))
	}
	err := s.Append(t.Context(), later("k", 30, at, time.Second))
	if !errors.Is(err, outbox.ErrDelayedFull) || !errors.Is(err, outbox.ErrFull) {
		t.Errorf("Append: %v, want ErrDelayedFull", err)
	}
	for i := range 40 { // all of the room of the others
		put(t, s, Entry("other", i))
	}
	if err := s.Append(t.Context(), Entry("other", 40)); !errors.Is(err, outbox.ErrFull) || errors.Is(err, outbox.ErrDelayedFull) {
		t.Errorf("Append: %v, want ErrFull", err)
	}
	cancel(t, s, 1, "k-7")
	put(t, s, later("k", 30, at, time.Second))
}

func testHalf(t *testing.T, s DelayedStore) {
	at := start()
	for i := range 30 {
		put(t, s, later("k", i, at, time.Second))
	}
	put(t, s, entries(5)...)
	next := release(t, s, at.Add(time.Second), 100, 15)
	if !next.Equal(at.Add(time.Second)) {
		t.Errorf("next due %v", next)
	}
	release(t, s, at.Add(time.Second), 100, 0)
	delayed(t, s, 15)
	all := readAll(t, s, 100)
	if err := s.Delete(t.Context(), all[0].Seq, all[1].Seq, all[2].Seq); err != nil {
		t.Fatal(err)
	}
	release(t, s, at.Add(time.Second), 100, 3)
	for i := range 20 {
		put(t, s, Entry("new", i))
	}
}

// Only the clock that Release is given counts.
func testJump(t *testing.T, s DelayedStore) {
	at := start()
	put(t, s, later("k", 0, at, time.Minute), later("k", 1, at, 2*time.Minute))
	release(t, s, at.Add(time.Minute-time.Millisecond), 10, 0)
	release(t, s, at.Add(time.Minute), 10, 1)              // to the millisecond
	release(t, s, at.Add(-1000*time.Hour), 10, 0)          // set back
	release(t, s, at.Add(365*24*time.Hour), 10, 1)         // set forward
	odd := later("k", 2, at, time.Minute+time.Microsecond) // is rounded up
	put(t, s, odd)
	release(t, s, at.Add(time.Minute), 10, 0)
	release(t, s, at.Add(time.Minute+time.Millisecond), 10, 1)
}

func testAccepted(t *testing.T, s DelayedStore) {
	at := start()
	e := later("k", 0, at, time.Second)
	put(t, s, e)
	if time.Since(e.Accepted) > time.Hour || e.Accepted.After(time.Now()) {
		t.Errorf("accepted at %v", e.Accepted)
	}
	joined := at.Add(3 * time.Second)
	release(t, s, joined, 10, 1)
	if got := readAll(t, s, 1); len(got) != 1 || got[0].Accepted.UnixMilli() != joined.UnixMilli() {
		t.Errorf("accepted at %v, want %v", got[0].Accepted, joined)
	}
}

func testDelayedHint(t *testing.T, s DelayedStore) {
	hint := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	hint(s.DelayedChanged())
	hint(s.Appended())
	at := start()
	put(t, s, later("k", 0, at, time.Second))
	if !hint(s.DelayedChanged()) {
		t.Error("no hint of a delayed entry")
	}
	release(t, s, at.Add(time.Second), 1, 1)
	if !hint(s.Appended()) {
		t.Error("no hint of an entry that joined")
	}
}

func testDelayedClosed(t *testing.T, s DelayedStore) {
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ctx := context.Background()
	_, _, released := s.Release(ctx, time.Now(), 1)
	_, canceled := s.Cancel(ctx, "k")
	_, listed := s.Delayed(ctx, nil, 1)
	for what, err := range map[string]error{"Release": released, "Cancel": canceled, "Delayed": listed} {
		if !errors.Is(err, outbox.ErrClosed) {
			t.Errorf("%s: %v, want ErrClosed", what, err)
		}
	}
}

func testMixed(t *testing.T, s DelayedStore) {
	at := start()
	for i := range 29 {
		put(t, s, later("k", i, at, time.Second))
	}
	err := s.Append(t.Context(), Entry("k", 100), later("k", 101, at, time.Second), later("k", 102, at, time.Second))
	if !errors.Is(err, outbox.ErrDelayedFull) {
		t.Errorf("Append: %v, want ErrDelayedFull", err)
	}
	wantIDs(t, readAll(t, s, 10))
	put(t, s, Entry("k", 100), later("k", 101, at, time.Second))
	wantIDs(t, readAll(t, s, 10), "k-100")
	delayed(t, s, 30)
}
