package relay_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// Discarded entries are not sent, although the relay had read them: neither those behind one
// that waits for a connection, nor those of other keys. What is being sent is left.
func TestDiscard(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, connected := newMemory(t), make(chan struct{})
		var sent []string
		r, stop := start(t, s, func(ctx context.Context, e *outbox.Entry, done func(error)) error {
			select {
			case <-connected:
			case <-ctx.Done():
				return ctx.Err()
			}
			sent = append(sent, e.ID)
			go done(nil)
			return nil
		}, relay.Options{})
		for i := range 20 {
			fill(t, s, entry("a", i), entry("b", i))
		}
		synctest.Wait()
		<-time.After(10 * time.Second) // of the bubble: everything was read
		seqs := make([]uint64, 0, 38)
		for seq := uint64(1); seq <= 38; seq++ {
			seqs = append(seqs, seq)
		}
		left, err := r.Discard(t.Context(), seqs...)
		if err != nil || !slices.Equal(left, []uint64{1}) {
			t.Fatalf("left %v, %v; want the one that is being sent", left, err)
		}
		if n := depth(t, s); n != 3 {
			t.Errorf("%d entries in the store, want 3", n)
		}
		close(connected)
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		if slices.Sort(sent); !slices.Equal(sent, []string{"a-0", "a-19", "b-19"}) { // keys have no order among each other
			t.Errorf("sent %v", sent)
		}
	})
}

// The first entry of a key that fails is discarded, and the pause of the key ended: the next one
// is sent at once.
func TestDiscardTheFirstOfAClosedKey(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, failed := newMemory(t), errors.New("not now")
		var sent []string
		r, stop := start(t, s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
			if e.ID == "a-0" {
				return failed
			}
			sent = append(sent, e.ID)
			go done(nil)
			return nil
		}, relay.Options{MinBackoff: time.Hour, MaxBackoff: time.Hour})
		fill(t, s, entry("a", 0), entry("a", 1), entry("b", 0))
		<-time.After(time.Minute)
		if errs := r.Failures("a", "b", "c"); !errors.Is(errs[0], failed) || errs[1] != nil || errs[2] != nil {
			t.Errorf("failures %v", errs)
		}
		if n := r.RetryKeys("b", "c"); n != 0 {
			t.Errorf("%d keys without a pause were tried", n)
		}
		if left, err := r.Discard(t.Context(), 1); err != nil || len(left) != 0 {
			t.Fatalf("left %v, %v", left, err)
		}
		if n := r.RetryKeys("a"); n != 1 {
			t.Errorf("%d keys tried, want 1", n)
		}
		<-time.After(time.Second)
		if n := depth(t, s); n != 0 || !slices.Contains(sent, "a-1") {
			t.Errorf("%d entries left, sent %v", n, sent)
		}
		stop()
	})
}
