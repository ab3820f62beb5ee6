package deadlettertest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// testOmitted checks that a letter without its payload keeps size and hash, and that each
// smaller form can be stored.
func testOmitted(t *testing.T, s deadletter.Store) {
	l := Letter(1, deadletter.Dead)
	l.Payload = []byte(strings.Repeat("x", 10_000))
	for form, want := range []deadletter.Omitted{
		{},
		{Size: 10_000},
		{Size: 10_000, More: true},
	} {
		put(t, s, l)
		got, err := s.Get(t.Context(), l.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, got, l)
		if got.Omitted.Size != want.Size || got.Omitted.More != want.More || len(got.Omitted.SHA256) != min(form, 1)*64 {
			t.Errorf("form %d: %+v", form, got.Omitted)
		}
		l = l.Smaller()
	}
	if l != nil {
		t.Errorf("a form below the smallest: %+v", l)
	}
}

// testOver checks that only letters that are parked for longer than their time and a tenth are
// over.
func testOver(t *testing.T, s deadletter.Store) {
	begin := time.Unix(1_700_000_000, 0)
	for n, state := range []deadletter.State{deadletter.Parked, deadletter.Dead, deadletter.Parked, deadletter.Parked} {
		l := Letter(n, state)
		l.Received, l.Until, l.Owner = begin, begin.Add(time.Duration(n+1)*time.Hour), "o"
		if n == 3 {
			l.Until = time.Time{} // unknown
		}
		put(t, s, l)
	}
	at := func(d time.Duration) deadletter.Query {
		return deadletter.Query{State: deadletter.Parked, OverAt: begin.Add(d)}
	}
	wantList(t, s, at(65*time.Minute))
	wantList(t, s, at(67*time.Minute), 0)
	wantList(t, s, at(3*time.Hour+17*time.Minute), 0)
	wantList(t, s, at(3*time.Hour+19*time.Minute), 0, 2)
	q := at(240 * time.Hour)
	q.Limit, q.After, q.Owner = 1, ID(0), "o"
	wantList(t, s, q, 2)
	q.Owner = "other"
	wantList(t, s, q)
}

func testClaims(t *testing.T, s deadletter.Store) {
	c, ok := s.(deadletter.Claimer)
	if !ok {
		t.Skip("the store has no claims")
	}
	claim := func(n int, d time.Duration, want bool) {
		t.Helper()
		if got, err := c.Claim(t.Context(), ID(n), d); err != nil || got != want {
			t.Errorf("Claim of %d: %v, %v; want %v", n, got, err, want)
		}
	}
	put(t, s, Letter(1, deadletter.Dead), Letter(2, deadletter.Parked))
	claim(9, time.Hour, false) // is not there
	claim(1, time.Hour, true)
	claim(1, time.Hour, false)
	claim(2, time.Hour, true)
	if err := errors.Join(c.Release(t.Context(), ID(1)), c.Release(t.Context(), ID(9))); err != nil {
		t.Errorf("Release: %v", err)
	}
	claim(1, time.Hour, true)
	put(t, s, Letter(2, deadletter.Dead)) // ends it
	claim(2, 10*time.Millisecond, true)
	for deadline := time.Now().Add(5 * time.Second); ; { // ends by itself
		if ok, err := c.Claim(t.Context(), ID(2), time.Hour); err != nil || ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a claim does not end")
		}
	}
	if err := s.Delete(t.Context(), ID(1)); err != nil {
		t.Fatal(err)
	}
	claim(1, time.Hour, false)
	put(t, s, Letter(1, deadletter.Dead))
	var wg sync.WaitGroup
	got := make(chan bool, 8)
	for range 8 {
		wg.Go(func() {
			ok, err := c.Claim(t.Context(), ID(1), time.Hour)
			if err != nil {
				t.Errorf("Claim: %v", err)
			}
			got <- ok
		})
	}
	wg.Wait()
	close(got)
	var have int
	for ok := range got {
		if ok {
			have++
		}
	}
	if have != 1 {
		t.Errorf("%d of 8 have the letter", have)
	}
}

// testReplayGoesOn checks that letters that cannot be replayed stay, are named in the error,
// and do not stop the others. stores.md 15.
func testReplayGoesOn(t *testing.T, s deadletter.Store) {
	const letters = 120 // pages
	bad := map[int]error{0: deadletter.ErrDamaged, 50: deadletter.ErrOmitted, 99: deadletter.ErrUnfit}
	for n := range letters {
		l := Letter(n, deadletter.Dead)
		switch n {
		case 0:
			l.Topic = ""
		case 50:
			l = l.Smaller()
		}
		put(t, s, l)
	}
	over := Letter(200, deadletter.Parked)
	over.Until = over.Received.Add(time.Hour)
	waits := Letter(201, deadletter.Parked)
	waits.Received, waits.Until = time.Now(), time.Now().Add(time.Hour)
	put(t, s, over, waits)
	n, err := deadletter.Replay(t.Context(), s, func(_ context.Context, l *deadletter.Letter) error {
		if l.ID == ID(99) {
			return deadletter.ErrUnfit
		}
		return nil
	})
	if n != letters-len(bad)+1 {
		t.Errorf("%d replayed, want %d: %v", n, letters-len(bad)+1, err)
	}
	for id, want := range bad {
		if !errors.Is(err, want) || !strings.Contains(err.Error(), ID(id)) {
			t.Errorf("letter %d is not named with %q: %v", id, want, err)
		}
	}
	wantList(t, s, deadletter.Query{}, 0, 50, 99, 201)
	// Letters selected by id do not stop each other either.
	n, err = deadletter.Replay(t.Context(), s, func(context.Context, *deadletter.Letter) error { return nil }, ID(0), ID(7), ID(201), ID(99))
	if n != 1 || !errors.Is(err, deadletter.ErrDamaged) || !errors.Is(err, deadletter.ErrNotFound) || !errors.Is(err, deadletter.ErrParked) {
		t.Errorf("%d replayed, %v", n, err)
	}
	wantList(t, s, deadletter.Query{}, 0, 50, 201)
	// An error that is not about a single letter ends the replay.
	put(t, s, Letter(300, deadletter.Dead), Letter(301, deadletter.Dead))
	down := errors.New("down")
	if n, err := deadletter.Replay(t.Context(), s, func(context.Context, *deadletter.Letter) error { return down }); n != 0 || !errors.Is(err, down) {
		t.Errorf("%d replayed, %v", n, err)
	}
	if n, err := deadletter.Replay(t.Context(), s, func(context.Context, *deadletter.Letter) error { return nil }); n != 2 {
		t.Errorf("%d replayed after an interruption, want 2: %v", n, err)
	}
}

// testReplaysAtOnce checks that two concurrent replays publish each letter once. stores.md 15.
func testReplaysAtOnce(t *testing.T, s deadletter.Store) {
	if _, ok := s.(deadletter.Claimer); !ok {
		t.Skip("the store has no claims")
	}
	const letters, replays = 60, 3
	want := make([]string, 0, letters)
	for n := range letters {
		put(t, s, Letter(n, deadletter.Dead))
		want = append(want, ID(n))
	}
	var (
		mu    sync.Mutex
		got   []string
		all   int
		wg    sync.WaitGroup
		begin = make(chan struct{})
	)
	for range replays {
		wg.Go(func() {
			<-begin
			n, err := deadletter.Replay(t.Context(), s, func(_ context.Context, l *deadletter.Letter) error {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, l.ID)
				return nil
			})
			if err != nil {
				t.Errorf("Replay: %v", err)
			}
			mu.Lock()
			defer mu.Unlock()
			all += n
		})
	}
	close(begin)
	wg.Wait()
	if slices.Sort(got); !slices.Equal(got, want) || all != letters {
		t.Errorf("%d published, %d counted, want each of %d once", len(got), all, letters)
	}
	wantCounts(t, s, 0, 0)
}

func testDropAll(t *testing.T, s deadletter.Store) {
	for n := range 250 {
		put(t, s, Letter(n, deadletter.Dead))
	}
	put(t, s, Letter(300, deadletter.Parked))
	if n, err := deadletter.Delete(t.Context(), s); n != 250 || err != nil {
		t.Errorf("%d dropped, %v", n, err)
	}
	wantList(t, s, deadletter.Query{}, 300)
}
