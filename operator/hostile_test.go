package operator_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettertest"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// forged is a store in which the letters with these ids are suspect.
type forged struct {
	deadletter.Store
	ids []string
}

func (f forged) mark(l *deadletter.Letter) *deadletter.Letter {
	if l != nil && slices.Contains(f.ids, l.ID) {
		l.Suspect = "it is of another service"
	}
	return l
}

func (f forged) Get(ctx context.Context, id string) (*deadletter.Letter, error) {
	l, err := f.Store.Get(ctx, id)
	return f.mark(l), err
}

func (f forged) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	page, err := f.Store.List(ctx, q)
	for _, l := range page {
		f.mark(l)
	}
	return page, err
}

// A suspect letter is replayed only by its id and when it is confirmed.
func TestForgedLettersAreConfirmed(t *testing.T) {
	t.Parallel()
	s := &letters{store: forged{deadletter.NewMemory(0), []string{deadlettertest.ID(1)}}}
	put(t, s, 3, nil)
	o, id := operator.New(operator.Options{Source: s}), deadlettertest.ID(1)
	for name, b := range map[string]operator.Bulk{
		"by id":       {IDs: []string{id}},
		"by criteria": {Criteria: operator.Criteria{Topic: "plant/1"}},
		"dry run":     {IDs: []string{id}, DryRun: true},
	} {
		out, err := o.Replay(t.Context(), b)
		if err != nil || out.Failed != 1 || out.Done != 0 || !errors.Is(out.Problems[0].Err, deadletter.ErrSuspect) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if out, err := o.Replay(t.Context(), operator.Bulk{All: true}); err != nil || out.Done != 2 || out.Failed != 1 {
		t.Errorf("all: %+v, %v", out, err)
	}
	if err := o.ReplayEdited(t.Context(), id, operator.Edited{Payload: []byte("x"), By: "me"}); !errors.Is(err, deadletter.ErrSuspect) {
		t.Errorf("edited: %v", err)
	}
	if want := []string{"plant/0", "plant/2"}; !slices.Equal(s.topics(), want) {
		t.Errorf("published %v, want %v", s.topics(), want)
	}
	if out, err := o.Replay(t.Context(), operator.Bulk{IDs: []string{id}, Confirmed: true}); err != nil || out.Done != 1 {
		t.Errorf("confirmed: %+v, %v", out, err)
	}
}

// Where everything fails, a bulk operation ends instead of going through all letters; its cursor
// stays one that can be sent.
func TestReplayEndsWhenEverythingFails(t *testing.T) {
	t.Parallel()
	s := &letters{store: deadletter.NewMemory(0), fail: func(*deadletter.Letter) error { return errNo }}
	put(t, s, 1100, func(n int, l *deadletter.Letter) { l.Key = fmt.Sprint(n) })
	o := operator.New(operator.Options{Source: s})
	out, err := o.Replay(t.Context(), operator.Bulk{All: true, Limit: operator.MaxBulk})
	if !errors.Is(err, operator.ErrTooManyFailures) || out.Failed != 1000 || len(out.Problems) != 100 || len(out.Next) > 20_000 {
		t.Errorf("%d failed, %d problems, a cursor of %d bytes: %v", out.Failed, len(out.Problems), len(out.Next), err)
	}
	s.fail = nil
	out, err = o.Replay(t.Context(), operator.Bulk{All: true, Cursor: out.Next})
	if err != nil || out.Done != 100 || out.Next != "" {
		t.Errorf("going on: %+v, %v", out, err)
	}
}

// Operators at the same time publish each letter once, and each key in its order.
func TestOperatorsAtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *letters, o *operator.Operator) {
		if _, ok := s.store.(deadletter.Claimer); !ok {
			t.Skip("the store has no claims")
		}
		const n = 60
		put(t, s, n, keys)
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if _, err := o.Replay(t.Context(), operator.Bulk{All: true}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if _, err := o.Replay(t.Context(), operator.Bulk{All: true}); err != nil { // what was held while another one had its turn
			t.Error(err)
		}
		last, seen := make(map[string]string), make(map[string]bool)
		for _, l := range s.published {
			if seen[l.ID] || l.ID < last[l.Key] {
				t.Errorf("%s of %s is published behind %s", l.ID, l.Key, last[l.Key])
			}
			seen[l.ID], last[l.Key] = true, l.ID
		}
		if len(seen) != n {
			t.Errorf("%d published, want %d", len(seen), n)
		}
	})
}
