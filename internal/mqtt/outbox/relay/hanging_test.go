package relay_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// hangingStore hangs until its context ends, like a database whose connection is dead.
// Answers is the number of calls that succeed before; slow is how long each other call
// takes.
type hangingStore struct {
	outbox.Store
	hangs atomic.Int32
	slow  atomic.Int64
}

func (s *hangingStore) wait(ctx context.Context) error {
	if s.hangs.Add(-1) >= 0 {
		<-ctx.Done()
		return ctx.Err()
	}
	select {
	case <-time.After(time.Duration(s.slow.Load())):
	case <-ctx.Done():
	}
	return ctx.Err()
}

func (s *hangingStore) Read(ctx context.Context, after uint64, limit int, without ...string) ([]*outbox.Entry, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Store.Read(ctx, after, limit, without...)
}

func (s *hangingStore) Delete(ctx context.Context, seqs ...uint64) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Store.Delete(ctx, seqs...)
}

// A call that the store never answers is tried again and reported; a slow store gets the
// time that it needs.
func TestStoreThatHangs(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]time.Duration{"once": 0, "slow": 3 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &hangingStore{Store: newMemory(t)}
				s.slow.Store(int64(slow))
				s.hangs.Store(1)
				fill(t, s, entry("a", 1), entry("b", 1))
				told := make(chan error, 10)
				_, stop := start(t, s, func(_ context.Context, _ *outbox.Entry, done func(error)) error {
					done(nil)
					return nil
				}, relay.Options{Observe: relay.Observe{Failed: func(err error) { told <- err }}})
				<-time.After(time.Minute + 10*slow)
				if st, _ := s.Stats(t.Context()); st.Depth != 0 {
					t.Errorf("%d entries left", st.Depth)
				}
				if len(told) == 0 {
					t.Error("not told")
				} else if err := <-told; !strings.Contains(err.Error(), "did not answer within 30s") {
					t.Error(err)
				}
				s.slow.Store(0)
				stop()
			})
		})
	}
}
