package delivery

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// What follows the last attempt.
func TestExhausted(t *testing.T) {
	t.Parallel()
	store := func(j *journal, name string) func(context.Context, string, error, int) error {
		return func(_ context.Context, _ string, err error, attempts int) error {
			j.add("%s after %d: %v", name, attempts, err)
			return nil
		}
	}
	for name, tt := range map[string]struct {
		exhausted event.Exhausted
		noPark    bool
		permanent bool
		want      []string
	}{
		"default":     {want: []string{"dead after 2: boom", "finished m exhausted 2 boom"}}, // reports.md A9
		"park":        {exhausted: event.ExhaustedPark, want: []string{"parked after 2: boom", "finished m parked 2 boom"}},
		"no parking":  {noPark: true, want: []string{"dead after 2: boom", "finished m exhausted 2 boom"}},
		"dead letter": {exhausted: event.ExhaustedDeadLetter, want: []string{"dead after 2: boom", "finished m exhausted 2 boom"}},
		"drop":        {exhausted: event.ExhaustedDrop, want: []string{"finished m dropped 2 boom"}},
		"block":       {exhausted: event.ExhaustedBlock, want: []string{"finished m handled 9 <nil>"}},
		"permanent":   {permanent: true, want: []string{"dead after 1: boom", "finished m permanent 1 boom"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var j journal
			p := Policy[string]{
				MaxAttempts: 2, Exhausted: tt.exhausted, DeadLetter: store(&j, "dead"), Park: store(&j, "parked"),
				Observer: Observer[string]{Finished: j.observer().Finished},
			}
			if tt.noPark {
				p.Park = nil
			}
			if tt.permanent {
				p.Classify = func(error) event.Verdict { return event.VerdictDeadLetter }
			}
			done := deliver(t, func(_ context.Context, _ string, attempt int) error {
				if attempt == 9 {
					return nil
				}
				return errBoom
			}, p)
			done.want(t, 1)
			t.Log(name)
			j.want(t, tt.want...)
		})
	}
}

// A message that has to wait for others is parked without an attempt. If
// parking fails it may be free later.
func TestHeld(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		holds []Hold
		park  []error // results of parking, in turn
		want  []string
	}{
		"free":                      {[]Hold{Free}, nil, []string{"handled", "finished m handled 1 <nil>"}},
		"behind":                    {[]Hold{Behind}, []error{nil}, []string{"park <nil> 0", "finished m parked 0 <nil>"}},
		"unknown at first":          {[]Hold{Unknown, Unknown, Free}, nil, []string{"handled", "finished m handled 1 <nil>"}},
		"behind after a failure":    {[]Hold{Behind, Behind}, []error{errBoom, nil}, []string{"park <nil> 0", "park <nil> 0", "finished m parked 0 <nil>"}},
		"free after a failure":      {[]Hold{Behind, Free}, []error{errBoom}, []string{"park <nil> 0", "handled", "finished m handled 1 <nil>"}},
		"free after a full parking": {[]Hold{Behind, Free}, []error{fmt.Errorf("full: %w", ErrAgain)}, []string{"park <nil> 0", "handled", "finished m handled 1 <nil>"}},
	} {
		synctest.Test(t, func(t *testing.T) {
			var j journal
			asked, parked := 0, 0
			done := deliver(t, func(context.Context, string, int) error { j.add("handled"); return nil }, Policy[string]{
				Held: func(string) Hold { asked++; return tt.holds[asked-1] },
				Park: func(_ context.Context, _ string, err error, attempts int) error {
					j.add("park %v %d", err, attempts)
					parked++
					return tt.park[parked-1]
				},
				Observer: Observer[string]{Finished: j.observer().Finished},
			})
			done.want(t, 1)
			t.Log(name)
			j.want(t, tt.want...)
			if asked != len(tt.holds) || parked != len(tt.park) {
				t.Errorf("asked %d times, parked %d times", asked, parked)
			}
		})
	}
}

// If a store has no room for a message its handler runs again, with growing
// pauses; a message for which a retry does not help only waits for room.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	for _, permanent := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			attempts, letters := 0, 0
			began := time.Now()
			p := Policy[string]{
				MaxAttempts: 2, MinBackoff: 100 * time.Millisecond, MaxBackoff: 400 * time.Millisecond,
				DeadLetter: func(context.Context, string, error, int) error {
					if letters++; permanent && letters == 20 {
						return nil
					}
					return ErrAgain
				},
			}
			if permanent {
				p.Classify = func(error) event.Verdict { return event.VerdictDeadLetter }
			}
			done := deliver(t, func(context.Context, string, int) error {
				if attempts++; attempts == 20 {
					return nil
				}
				return errBoom
			}, p)
			done.want(t, 1)
			switch took := time.Since(began); {
			case permanent && (attempts != 1 || letters != 20):
				t.Errorf("%d attempts, %d letters", attempts, letters)
			case !permanent && (attempts != 20 || letters != 18):
				t.Errorf("%d attempts, %d letters", attempts, letters)
			case took < 15*200*time.Millisecond || took > 20*400*time.Millisecond:
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestStoreTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		done := deliver(t, func(context.Context, string, int) error { return errBoom }, Policy[string]{
			Deadline: time.Second, MaxAttempts: 1, StoreTimeout: time.Minute,
			DeadLetter: func(ctx context.Context, _ string, _ error, _ int) error {
				if d, ok := ctx.Deadline(); !ok || time.Until(d) != time.Minute {
					t.Errorf("deadline in %v", time.Until(d))
				}
				return nil
			},
		})
		done.want(t, 1)
	})
}

func TestParkIsRequired(t *testing.T) {
	t.Parallel()
	nop := func(context.Context, string, int) error { return nil }
	for _, p := range []Policy[string]{{Exhausted: event.ExhaustedPark}, {Held: func(string) Hold { return Free }}, {StoreTimeout: -1}, {MaxBlocked: -1}} {
		if _, err := NewAttempts(nop, p); err == nil {
			t.Errorf("%+v was accepted", p)
		}
	}
}
