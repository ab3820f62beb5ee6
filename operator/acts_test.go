package operator_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

var errNo = fmt.Errorf("%w: no", deadletter.ErrUnfit)

// keys sets one of three keys of a letter, by n modulo 3.
func keys(n int, l *deadletter.Letter) { l.Key = fmt.Sprintf("key %d", n%3) }

// A letter that fails holds those behind it with the same key, in this call and in those that go
// on; others are replayed, oldest first.
func TestReplayKeepsTheOrderOfKeys(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		const n = 30
		put(t, s, n, keys)
		s.fail = func(l *deadletter.Letter) error {
			if l.ID == deadlettertest.ID(4) { // of key 1
				return errNo
			}
			return nil
		}
		b, out := operator.Bulk{All: true, Limit: 7}, operator.Outcome{}
		for calls := 1; ; calls++ {
			next, err := o.Replay(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			out.Done, out.Failed, out.Held, out.Selected = out.Done+next.Done, out.Failed+next.Failed, out.Held+next.Held, out.Selected+next.Selected
			out.Problems = append(out.Problems, next.Problems...)
			if b.Cursor = next.Next; b.Cursor == "" {
				if calls != 5 {
					t.Errorf("%d calls of 7 letters, want 5", calls)
				}
				break
			}
		}
		if out.Selected != n || out.Done != 21 || out.Failed != 1 || out.Held != 8 || len(out.Problems) != 1 {
			t.Errorf("%+v", out)
		}
		if p := out.Problems[0]; p.ID != deadlettertest.ID(4) || p.Topic != "plant/4" || p.Key != "key 1" || !errors.Is(p.Err, deadletter.ErrUnfit) {
			t.Errorf("problem %+v", p)
		}
		if want := every(4, 3, n); !slices.Equal(left(t, s), want) {
			t.Errorf("left %v, want %v", left(t, s), want)
		}
		var want []string
		for i := range n {
			if i%3 != 1 || i == 1 {
				want = append(want, fmt.Sprintf("plant/%d", i))
			}
		}
		if !slices.Equal(s.topics(), want) {
			t.Errorf("published %v, want %v", s.topics(), want)
		}
		for _, l := range s.published {
			if l.Replayed.Count != 1 {
				t.Fatalf("replays of %s: %d, want 1", l.ID, l.Replayed.Count)
			}
		}
		s.fail = nil
		again, err := o.Replay(t.Context(), operator.Bulk{IDs: every(4, 100, 30), Confirmed: true})
		if err != nil || again.Done != 1 {
			t.Errorf("by id: %+v, %v", again, err)
		}
		again, err = o.Replay(t.Context(), operator.Bulk{All: true})
		if err != nil || again.Done != 8 || len(left(t, s)) != 0 {
			t.Errorf("a new replay: %+v, %v", again, err)
		}
	})
}

func TestReplayByID(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		put(t, s, 6, keys)
		b := operator.Bulk{IDs: []string{deadlettertest.ID(4), deadlettertest.ID(99), deadlettertest.ID(1), deadlettertest.ID(4)}, Limit: 2}
		first, err := o.Replay(t.Context(), b)
		if err != nil || first.Done != 2 || first.Next == "" {
			t.Fatalf("%+v, %v", first, err)
		}
		b.Cursor = first.Next
		second, err := o.Replay(t.Context(), b)
		if err != nil || second.Failed != 1 || second.Next != "" || !errors.Is(second.Problems[0].Err, deadletter.ErrNotFound) {
			t.Errorf("%+v, %v", second, err)
		}
		if want := []string{"plant/1", "plant/4"}; !slices.Equal(s.topics(), want) {
			t.Errorf("published %v, want the oldest first", s.topics())
		}
	})
}

func TestDryRunChangesNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		put(t, s, 9, func(n int, l *deadletter.Letter) {
			if keys(n, l); n == 2 {
				*l = *l.Smaller()
			}
		})
		for name, act := range map[string]func(context.Context, operator.Bulk) (operator.Outcome, error){"replay": o.Replay, "delete": o.Delete} {
			out, err := act(t.Context(), operator.Bulk{Criteria: operator.Criteria{Topic: "plant/+"}, DryRun: true})
			if err != nil || out.Selected != 9 || out.Done != 0 {
				t.Errorf("%s: %+v, %v", name, out, err)
			}
			if name == "replay" && (out.Failed != 1 || out.Held != 2 || !errors.Is(out.Problems[0].Err, deadletter.ErrOmitted)) {
				t.Errorf("what would fail: %+v", out)
			}
		}
		if len(left(t, s)) != 9 || len(s.topics()) != 0 {
			t.Errorf("left %d, published %d", len(left(t, s)), len(s.topics()))
		}
	})
}

func TestDeleteByCriteria(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		put(t, s, 30, causes)
		b := operator.Bulk{Criteria: operator.Criteria{Reason: "CODEC"}, Limit: 15}
		out, err := o.Delete(t.Context(), b)
		if err != nil || out.Done != 15 || out.Next == "" {
			t.Fatalf("%+v, %v", out, err)
		}
		b.Cursor = out.Next
		if out, err = o.Delete(t.Context(), b); err != nil || out.Done != 5 || out.Next != "" {
			t.Fatalf("%+v, %v", out, err)
		}
		if want := every(0, 3, 30); !slices.Equal(left(t, s), want) {
			t.Errorf("left %v, want %v", left(t, s), want)
		}
	})
}

func TestArchive(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, _ *operator.Operator) {
		path := filepath.Join(t.TempDir(), "archive.jsonl")
		if err := os.WriteFile(path, []byte(`{"unfinished`), 0o600); err != nil {
			t.Fatal(err)
		}
		file, err := operator.OpenArchive(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = file.Close() }()
		put(t, s, 5, causes)
		o := operator.New(operator.Options{Source: s, Archiver: file})
		out, err := o.Archive(t.Context(), operator.Bulk{Criteria: operator.Criteria{Reason: "CODEC"}})
		if err != nil || out.Done != 3 {
			t.Fatalf("%+v, %v", out, err)
		}
		if want := every(0, 3, 5); !slices.Equal(left(t, s), want) {
			t.Errorf("left %v, want %v", left(t, s), want)
		}
		lines, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = lines.Close() }()
		var found []string
		for in := bufio.NewScanner(lines); in.Scan(); {
			l, err := deadletter.Decode(&message.Message{Payload: in.Bytes()})
			if err != nil {
				continue // the unfinished line
			}
			if found = append(found, l.ID); l.ErrorType != "CODEC" || len(l.Payload) == 0 {
				t.Errorf("archived %+v", l)
			}
		}
		if want := []string{deadlettertest.ID(1), deadlettertest.ID(2), deadlettertest.ID(4)}; !slices.Equal(found, want) {
			t.Errorf("archived %v, want %v", found, want)
		}
	})
}

// Without a connection there is no use in trying the next letter; the cursor is in front of the
// one that failed.
func TestReplayEndsWithoutConnection(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		put(t, s, 5, nil)
		down := true
		s.fail = func(l *deadletter.Letter) error {
			if down && l.ID == deadlettertest.ID(2) {
				return &event.Error{Op: "replay", Reason: event.ReasonNotConnected}
			}
			return nil
		}
		out, err := o.Replay(t.Context(), operator.Bulk{All: true})
		if event.ReasonOf(err) != event.ReasonNotConnected || out.Done != 2 || out.Selected != 2 || out.Next == "" {
			t.Fatalf("%+v, %v", out, err)
		}
		down = false
		if out, err = o.Replay(t.Context(), operator.Bulk{All: true, Cursor: out.Next}); err != nil || out.Done != 3 {
			t.Errorf("%+v, %v", out, err)
		}
	})
}

// Letters that fail again while a replay goes on are not taken by it.
func TestReplayTakesNoYoungerLetters(t *testing.T) {
	t.Parallel()
	s := &letters{store: deadletter.NewMemory(0)}
	var made deadletter.IDs
	s.fail = func(l *deadletter.Letter) error {
		again := *l
		again.ID, _ = made.New()
		return s.store.Put(t.Context(), &again)
	}
	put(t, s, 3, nil)
	out, err := operator.New(operator.Options{Source: s}).Replay(t.Context(), operator.Bulk{All: true})
	if err != nil || out.Done != 3 || out.Next != "" || len(left(t, s)) != 3 {
		t.Errorf("%+v, %v, %d left", out, err, len(left(t, s)))
	}
}

func TestReplayEndsWithItsContext(t *testing.T) {
	t.Parallel()
	s := &letters{store: deadletter.NewMemory(0)}
	put(t, s, 5, nil)
	ctx, cancel := context.WithCancel(t.Context())
	s.fail = func(l *deadletter.Letter) error {
		if l.ID == deadlettertest.ID(1) {
			cancel()
		}
		return nil
	}
	o := operator.New(operator.Options{Source: s})
	out, err := o.Replay(ctx, operator.Bulk{All: true})
	if !errors.Is(err, context.Canceled) || out.Done != 2 || out.Next == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	if out, err = o.Replay(t.Context(), operator.Bulk{All: true, Cursor: out.Next}); err != nil || out.Done != 3 {
		t.Errorf("%+v, %v", out, err)
	}
	if len(s.topics()) != 5 {
		t.Errorf("published %v", s.topics())
	}
}

func TestRateAndTime(t *testing.T) {
	t.Parallel()
	s := &letters{store: deadletter.NewMemory(0)}
	put(t, s, 100, nil)
	o := operator.New(operator.Options{Source: s})
	begin := time.Now()
	out, err := o.Delete(t.Context(), operator.Bulk{All: true, Rate: 20, Within: 300 * time.Millisecond})
	if err != nil || out.Done < 1 || out.Done > 8 || out.Next == "" {
		t.Errorf("%+v, %v", out, err)
	}
	if took := time.Since(begin); took < 250*time.Millisecond {
		t.Errorf("took %v", took)
	}
}

// A call does something however little time it has, so that a slow service gets on.
func TestEachCallGetsOn(t *testing.T) {
	t.Parallel()
	s := &letters{store: deadletter.NewMemory(0)}
	put(t, s, 5, nil)
	o := operator.New(operator.Options{Source: s})
	var cursor operator.Cursor
	for n := range 5 {
		out, err := o.Replay(t.Context(), operator.Bulk{All: true, Within: 1, Cursor: cursor})
		if err != nil || out.Done != 1 {
			t.Fatalf("call %d: %+v, %v", n, out, err)
		}
		cursor = out.Next
	}
}

func TestBulkRefuses(t *testing.T) {
	t.Parallel()
	s := &letters{store: deadletter.NewMemory(0)}
	put(t, s, 1, nil)
	o := operator.New(operator.Options{Source: s})
	many := make([]string, operator.MaxIDs+1)
	for name, b := range map[string]operator.Bulk{
		"nothing":      {},
		"two":          {All: true, IDs: []string{"1"}},
		"confirmed":    {All: true, Confirmed: true},
		"many ids":     {IDs: many},
		"a limit":      {All: true, Limit: operator.MaxBulk + 1},
		"a rate":       {All: true, Rate: -1},
		"a cursor":     {All: true, Cursor: "x"},
		"huge cursor":  {All: true, Cursor: operator.Cursor(make([]byte, 1<<20))},
		"bad criteria": {Criteria: operator.Criteria{Topic: "#/a"}},
	} {
		for act, call := range map[string]func(context.Context, operator.Bulk) (operator.Outcome, error){
			"replay": o.Replay, "delete": o.Delete, "delete parked": o.DeleteParked,
		} {
			if _, err := call(t.Context(), b); !errors.Is(err, operator.ErrBadRequest) {
				t.Errorf("%s of %s: %v", act, name, err)
			}
		}
	}
	if _, err := o.Archive(t.Context(), operator.Bulk{All: true}); !errors.Is(err, operator.ErrUnavailable) || !strings.Contains(err.Error(), "archive") {
		t.Errorf("without an archive: %v", err)
	}
	if len(left(t, s)) != 1 {
		t.Error("a refused call has changed something")
	}
}

// An archive may be another store, in which the letters stay as they are.
func TestArchiveInStore(t *testing.T) {
	t.Parallel()
	s, archive := &letters{store: deadletter.NewMemory(0)}, &letters{store: deadletter.NewMemory(0)}
	put(t, s, 3, nil)
	o := operator.New(operator.Options{Source: s, Archiver: operator.NewStoreArchive(archive.store)})
	out, err := o.Archive(t.Context(), operator.Bulk{All: true, Limit: 2})
	if err != nil || out.Done != 2 || out.Next == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	if want := every(0, 1, 2); !slices.Equal(left(t, archive), want) || !slices.Equal(left(t, s), every(2, 1, 3)) {
		t.Errorf("archived %v, want %v; left %v", left(t, archive), want, left(t, s))
	}
}
