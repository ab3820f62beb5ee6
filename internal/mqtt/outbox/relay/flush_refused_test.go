package relay_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// refusesAll treats every failure as a refusal, to be tried again for an hour.
func refusesAll(error) (relay.Refusal, bool) {
	return relay.Refusal{Reason: "NOT_AUTHORIZED", After: time.Hour}, true
}

// A flush sends all other entries and ends when all remaining ones wait behind refused
// entries, whether they were refused before the flush or during it.
func TestFlushEndsAtRefusedKeys(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"refused before": true, "refused meanwhile": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, b := newMemory(t), &broker{fail: map[string]error{"a-0": errRefused, "a-1": errRefused, "b-0": errRefused}}
				r, stop := start(t, s, b.send, relay.Options{Refused: refusesAll})
				defer stop()
				fill(t, s, entry("a", 0), entry("a", 1), entry("b", 0), entry("c", 0))
				if before {
					advance(time.Minute)
				}
				began := time.Now()
				err := r.Flush(t.Context())
				if !errors.Is(err, relay.ErrRefused) || !errors.Is(err, errRefused) || !strings.Contains(err.Error(), "2 keys") {
					t.Errorf("Flush: %v", err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("took %v", took)
				}
				if n := depth(t, s); n != 3 || !r.OnlyRefused() {
					t.Errorf("%d left, only refused %t, want 3 and true", n, r.OnlyRefused())
				}
				b.heal()
				advance(time.Minute)
				if err := r.Flush(t.Context()); err != nil || depth(t, s) != 0 || r.OnlyRefused() {
					t.Errorf("Flush when nothing is refused: %v, %d left", err, depth(t, s))
				}
			})
		})
	}
}

// A flush waits for entries that failed for another reason, because they may be sent at any
// moment, and for kept ones, which do not hide refused ones.
func TestFlushWaitsForWhatIsNotRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newMemory(t), &broker{fail: map[string]error{"a-0": errRefused, "b-0": errDown}}
		r, stop := start(t, s, b.send, relay.Options{KeepAcknowledged: time.Minute, Refused: func(err error) (relay.Refusal, bool) {
			if errors.Is(err, errRefused) {
				return refusesAll(err)
			}
			return relay.Refusal{}, false
		}})
		defer stop()
		fill(t, s, entry("a", 0), entry("b", 0), entry("c", 0))
		flushed := make(chan error, 1)
		go func() { flushed <- r.Flush(t.Context()) }()
		advance(10 * time.Second)
		if r.OnlyRefused() || len(flushed) > 0 {
			t.Error("does not wait for an entry that only failed")
		}
		b.mu.Lock()
		delete(b.fail, "b-0")
		b.mu.Unlock()
		advance(10 * time.Second)
		if !r.OnlyRefused() || len(flushed) > 0 {
			t.Errorf("only refused %t, want true; flushed %d before the end of KeepAcknowledged", r.OnlyRefused(), len(flushed))
		}
		if err := <-flushed; !errors.Is(err, relay.ErrRefused) || depth(t, s) != 1 {
			t.Errorf("Flush: %v, %d left", err, depth(t, s))
		}
	})
}
