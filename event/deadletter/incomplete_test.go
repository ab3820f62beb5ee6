package deadletter_test

import (
	"context"
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
)

// lacking is a store that cannot read all of its letters at once: it finds the
// first two.
type lacking struct{ *deadletter.Memory }

func (s lacking) List(ctx context.Context, q deadletter.Query) ([]*deadletter.Letter, error) {
	q.Limit = 2
	page, err := s.Memory.List(ctx, q)
	if q.After != "" {
		page = nil
	}
	return page, errors.Join(err, deadletter.ErrIncomplete)
}

func (s lacking) Stats(ctx context.Context) (deadletter.Stats, error) {
	st, err := s.Memory.Stats(ctx)
	st.Dead = min(st.Dead, 2)
	return st, errors.Join(err, deadletter.ErrIncomplete)
}

// What was found is replayed or dropped, and the error says that there may be
// more.
func TestIncomplete(t *testing.T) {
	t.Parallel()
	for name, work := range map[string]func(context.Context, deadletter.Store) (int, error){
		"replay": func(ctx context.Context, s deadletter.Store) (int, error) {
			return deadletter.Replay(ctx, s, func(context.Context, *deadletter.Letter) error { return nil })
		},
		"drop": func(ctx context.Context, s deadletter.Store) (int, error) { return deadletter.Delete(ctx, s) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := lacking{filled(t, letter("1", deadletter.Dead), letter("2", deadletter.Dead), letter("3", deadletter.Dead))}
			if n, err := work(t.Context(), s); n != 2 || !errors.Is(err, deadletter.ErrIncomplete) {
				t.Errorf("%d, %v", n, err)
			}
			if left := idsOf(t, s.Memory, deadletter.Query{}); len(left) != 1 || left[0] != "3" {
				t.Errorf("left %v", left)
			}
		})
	}
}
