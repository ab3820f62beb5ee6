package relay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// counting counts the entries that are read.
type counting struct {
	outbox.Store
	read, reads int
}

func (c *counting) Read(ctx context.Context, after uint64, limit int, without ...string) ([]*outbox.Entry, error) {
	es, err := c.Store.Read(ctx, after, limit, without...)
	c.read += len(es)
	c.reads++
	return es, err
}

func backlog(t testing.TB, n int, key func(i int) string, payload int) *counting {
	t.Helper()
	s, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: n, MaxBytes: 4 << 30})
	if err != nil {
		t.Fatal(err)
	}
	body := make([]byte, payload)
	for i := range n {
		e := &outbox.Entry{Message: message.Message{Topic: "t", Payload: body}, ID: "x", Key: key(i)}
		if err := s.Append(context.Background(), e); err != nil {
			t.Fatal(err)
		}
	}
	return &counting{Store: s}
}

// With many entries waiting (a million with OUTBOX_BACKLOG set) and one blocked key, memory
// stays bounded, the other keys are sent, and the store is not read again and again.
func TestRelayBoundWithABlockedKey(t *testing.T) {
	t.Parallel()
	n := 200_000
	if os.Getenv("OUTBOX_BACKLOG") != "" {
		n = 1_000_000
	}
	synctest.Test(t, func(t *testing.T) {
		s := backlog(t, n, func(i int) string {
			if i%2 == 0 {
				return "blocked"
			}
			return fmt.Sprint(i % 100)
		}, 8)
		down, most := true, 0
		var r *Relay
		r, err := New(s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
			r.mu.Lock()
			most = max(most, len(r.w.known)-len(r.w.acked))
			r.mu.Unlock()
			if e.Key == "blocked" && down {
				return errors.New("no")
			}
			done(nil)
			return nil
		}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- r.Run(t.Context()) }()
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if st, _ := s.Stats(t.Context()); st.Depth != n/2 {
			t.Errorf("%d entries left while one key is blocked, want %d", st.Depth, n/2)
		}
		blocked := s.read
		if limit := 2*n + 1_300_000; blocked > limit { // once, and 1 % of the time
			t.Errorf("%d entries were read in 2 minutes, of %d", blocked, n)
		}
		down = false
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if s.read-blocked > 4*n {
			t.Errorf("%d entries were read to send %d", s.read-blocked, n/2)
		}
		if most > 4*r.o.Batch {
			t.Errorf("%d entries in memory", most)
		}
		t.Logf("%d entries: %d read while blocked, %d afterwards; at most %d in memory", n, blocked, s.read-blocked, most)
		_ = r.Stop(t.Context())
		<-ran
	})
}

// When every other entry of a key fails once, each failure causes one window to be read
// again, not the whole backlog.
func TestRelayBoundWithAKeyThatOftenFails(t *testing.T) {
	t.Parallel()
	const n = 20_000
	synctest.Test(t, func(t *testing.T) {
		s := backlog(t, n, func(i int) string { return []string{"flaky", "blocked", "fine", "fine"}[i%4] }, 8)
		down := true
		tries := map[uint64]int{}
		r, err := New(s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
			tries[e.Seq]++
			if e.Key == "blocked" && down || e.Key == "flaky" && tries[e.Seq] == 1 && e.Seq%8 == 1 {
				return errors.New("no")
			}
			done(nil)
			return nil
		}, Options{MinBackoff: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- r.Run(t.Context()) }()
		for range 10_000 {
			<-time.After(100 * time.Millisecond)
			synctest.Wait()
			if st, _ := s.Stats(t.Context()); st.Depth == n/4 {
				break
			}
		}
		if st, _ := s.Stats(t.Context()); st.Depth != n/4 {
			t.Errorf("%d left, want %d", st.Depth, n/4)
		}
		failures := n / 8
		if limit := failures*8*r.o.Batch + 10*n; s.read > limit {
			t.Errorf("%d entries were read for %d failures, at most %d are fine", s.read, failures, limit)
		}
		t.Logf("%d entries were read for %d failures of one key", s.read, failures)
		down = false
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		_ = r.Stop(t.Context())
		<-ran
	})
}

// Large entries are read a few at a time.
func TestRelayBoundsBytes(t *testing.T) {
	t.Parallel()
	const n, payload = 500, 256 << 10
	synctest.Test(t, func(t *testing.T) {
		s := backlog(t, n, func(i int) string { return fmt.Sprint(i) }, payload)
		var r *Relay
		most := int64(0)
		r, err := New(s, func(_ context.Context, _ *outbox.Entry, done func(error)) error {
			r.mu.Lock()
			most = max(most, r.w.bytes)
			r.mu.Unlock()
			go done(nil)
			return nil
		}, Options{MaxBytes: 8 << 20})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- r.Run(t.Context()) }()
		if err := r.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if most > 16<<20 {
			t.Errorf("%d bytes in memory", most)
		}
		t.Logf("at most %d bytes of %d in memory", most, n*payload)
		_ = r.Stop(t.Context())
		<-ran
	})
}

func BenchmarkRelay(b *testing.B) {
	for _, keys := range []int{1, 1000} {
		b.Run(fmt.Sprintf("keys=%d", keys), func(b *testing.B) {
			s := backlog(b, b.N, func(i int) string { return fmt.Sprint(i % keys) }, 256)
			outcomes := make(chan func(error), 1024)
			go func() {
				for done := range outcomes {
					done(nil)
				}
			}()
			r, err := New(s, func(_ context.Context, _ *outbox.Entry, done func(error)) error {
				outcomes <- done
				return nil
			}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			ran := make(chan error, 1)
			go func() { ran <- r.Run(context.Background()) }()
			if err := r.Flush(context.Background()); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
			b.StopTimer()
			_ = r.Stop(context.Background())
			<-ran
			close(outcomes)
		})
	}
}
