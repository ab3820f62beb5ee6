package relay_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// slowStats takes this long for Stats.
type slowStats struct {
	outbox.Store
	takes time.Duration
}

func (s slowStats) Stats(ctx context.Context) (outbox.Stats, error) {
	select {
	case <-time.After(s.takes):
		return s.Store.Stats(ctx)
	case <-ctx.Done():
		return outbox.Stats{}, ctx.Err()
	}
}

// stores.md 1: a store whose Stats takes longer than PollInterval costs a share of the
// time, not all of it.
func TestMeasuringNeverStopsTheRelay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ stats, poll time.Duration }{
		{150 * time.Millisecond, 200 * time.Millisecond},
		{210 * time.Millisecond, 200 * time.Millisecond},
		{1050 * time.Millisecond, time.Second},
		{time.Hour, time.Second},
	} {
		t.Run(fmt.Sprintf("stats=%v,poll=%v", c.stats, c.poll), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, b := newMemory(t), &broker{}
				_, stop := start(t, slowStats{s, c.stats}, b.send, relay.Options{PollInterval: c.poll})
				defer stop()
				for i := range 100 {
					fill(t, s, entry(fmt.Sprint(i%10), i))
					advance(10 * time.Millisecond)
				}
				advance(time.Second)
				if n := len(b.ids()); n != 100 {
					t.Errorf("%d of 100 were sent", n)
				}
				if n := depth(t, s); n != 0 {
					t.Errorf("%d are left", n)
				}
			})
		})
	}
}

// aclBroker refuses the topics on its list and accepts all others.
type aclBroker struct {
	mu       sync.Mutex
	refuses  func(topic string) bool
	attempts int
	sent     map[string]int
	last     map[string]uint64
	wrong    []string
}

var errNotAuthorized = errors.New("not authorized")

func (b *aclBroker) send(_ context.Context, e *outbox.Entry, done func(error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.attempts++
	if b.refuses != nil && b.refuses(e.Topic) {
		done(errNotAuthorized)
		return nil
	}
	if b.last[e.Key] > e.Seq && b.sent[e.ID] == 0 {
		b.wrong = append(b.wrong, e.ID)
	}
	b.last[e.Key] = max(b.last[e.Key], e.Seq)
	b.sent[e.ID]++
	done(nil)
	return nil
}

func newACLBroker(refuses func(string) bool) *aclBroker {
	return &aclBroker{refuses: refuses, sent: map[string]int{}, last: map[string]uint64{}}
}

func (b *aclBroker) state() (attempts, sent int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.attempts, len(b.sent)
}

func refusal(after time.Duration, attempts int) func(error) (relay.Refusal, bool) {
	return func(err error) (relay.Refusal, bool) {
		return relay.Refusal{Reason: "NOT_AUTHORIZED", After: after, Attempts: attempts}, errors.Is(err, errNotAuthorized)
	}
}

func bad(topic string) bool { return strings.HasPrefix(topic, "t/bad") }

// stores.md 2: refused keys take no room of the others, however many there are.
func TestRefusedKeysLeaveTheOthers(t *testing.T) {
	t.Parallel()
	for _, keys := range []int{768, 769, 100_000} {
		t.Run(fmt.Sprint(keys), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, b := &countingStore{Store: newMemory(t)}, newACLBroker(bad)
				for i := range keys {
					fill(t, s, entry(fmt.Sprint("bad", i), 0))
				}
				r, stop := start(t, s, b.send, relay.Options{Refused: refusal(time.Hour, 0)})
				advance(time.Minute)
				if h := r.Health(t.Context()); h.ClosedKeys != keys || h.ClosedSince.IsZero() ||
					!errors.Is(h.LastRefusal.Err, errNotAuthorized) || h.LastRefusal.Reason != "NOT_AUTHORIZED" {
					t.Errorf("Health: %+v", h)
				}
				if list := r.ClosedKeys(7); len(list) != 7 || !strings.HasPrefix(list[0].Key, "bad") || list[0].Topic != "t/"+list[0].Key ||
					list[0].Attempts == 0 || !errors.Is(list[0].Err, errNotAuthorized) {
					t.Errorf("ClosedKeys: %+v", list)
				}
				tries, _ := b.state()
				reads := s.entriesRead()
				const others = 10_000
				for i := range others {
					fill(t, s, entry(fmt.Sprint("good", i%100), i))
				}
				advance(time.Second)
				triesNow, sent := b.state()
				if sent != others {
					t.Errorf("%d of %d others were sent within a second", sent, others)
				}
				if n := triesNow - tries - others; n > 500 { // a tenth of the rate is 1,000
					t.Errorf("%d attempts at refused keys in that second", n)
				}
				if n := s.entriesRead() - reads; n > 2*others+2*keys { // each once, and one sweep
					t.Errorf("%d entries were read to send %d", n, others)
				}
				var m runtime.MemStats
				runtime.GC()
				runtime.ReadMemStats(&m)
				t.Logf("figure: %d closed keys, heap %d MiB with the store", keys, m.HeapAlloc>>20)
				// Once allowed again, they are sent at once and in order.
				b.mu.Lock()
				b.refuses = nil
				b.mu.Unlock()
				emptied(t, s)
				if _, sent := b.state(); sent != others+keys || len(b.wrong) > 0 {
					t.Errorf("%d of %d sent, out of order: %v", sent, others+keys, b.wrong)
				}
				stop()
			})
		})
	}
}

// countingStore counts the entries that are read.
type countingStore struct {
	outbox.Store
	mu    sync.Mutex
	read  int
	reads int
}

func (c *countingStore) Read(ctx context.Context, after uint64, limit int, without ...string) ([]*outbox.Entry, error) {
	es, err := c.Store.Read(ctx, after, limit, without...)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read += len(es)
	c.reads++
	return es, err
}

func (c *countingStore) entriesRead() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read
}

// stores.md 18: after a start, the relay does not read the backlog of a refused topic only
// to skip it.
func TestBacklogOfARefusedTopicIsNotRead(t *testing.T) {
	t.Parallel()
	const backlog = 300_000
	synctest.Test(t, func(t *testing.T) {
		s, b := &countingStore{Store: newMemory(t)}, newACLBroker(bad)
		for i := range backlog {
			fill(t, s, entry("bad", i))
		}
		for i := range 100 {
			fill(t, s, entry("good", i))
		}
		_, stop := start(t, s, b.send, relay.Options{Refused: refusal(time.Hour, 0)})
		advance(time.Second)
		if _, sent := b.state(); sent != 100 {
			t.Errorf("%d of 100 others were sent within a second", sent)
		}
		if n := s.entriesRead(); n > backlog/20 {
			t.Errorf("%d entries were read", n)
		}
		b.mu.Lock()
		b.refuses = nil
		b.mu.Unlock()
		emptied(t, s)
		if _, sent := b.state(); sent != backlog+100 || len(b.wrong) > 0 {
			t.Errorf("%d sent, out of order %d", sent, len(b.wrong))
		}
		stop()
	})
}

// A lasting refusal is reported once a minute, and its entry is quarantined at the limit,
// together with the entries behind it that are refused for the same reason.
func TestRefusalIsReportedAndQuarantined(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		after    time.Duration
		attempts int
		tries    int
		within   time.Duration
	}{
		"at once":  {0, 0, 1, time.Second},
		"attempts": {0, 5, 5, 10 * time.Second},
		"time":     {10 * time.Minute, 0, 0, 11 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s, b := newMemory(t), newACLBroker(bad)
				var told, aside []string
				r, stop := start(t, s, b.send, relay.Options{Refused: refusal(c.after, c.attempts), Observe: relay.Observe{
					Refused:     func(k relay.ClosedKey) { told = append(told, fmt.Sprint(k.Key, " ", k.Topic, " ", k.Err)) },
					Quarantined: func(e *outbox.Entry, err error) { aside = append(aside, fmt.Sprint(e.ID, ": ", err)) },
				}})
				defer stop()
				fill(t, s, entry("bad", 0))
				synctest.Wait()
				fill(t, s, entry("bad", 1), entry("good", 0))
				if c.after > 0 {
					advance(c.after - time.Minute)
					if len(aside) > 0 || depth(t, s) != 2 {
						t.Fatalf("quarantined too early: %v", aside)
					}
					advance(2 * time.Minute)
				}
				advance(c.within)
				if len(aside) != 2 || !strings.HasPrefix(aside[0], "bad-0: ") || !strings.Contains(aside[0], "not authorized") {
					t.Errorf("quarantined: %v", aside)
				}
				if depth(t, s) != 0 {
					t.Errorf("%d are left", depth(t, s))
				}
				if tries, _ := b.state(); c.tries > 0 && tries != c.tries+2 {
					t.Errorf("%d attempts", tries)
				}
				if most := 1 + int((c.after+time.Minute)/time.Minute); len(told) == 0 || len(told) > most || told[0] != "bad t/bad not authorized" {
					t.Errorf("reported %d times: %v", len(told), told)
				}
				q, err := s.Quarantined(t.Context(), 0, 10)
				if err != nil || len(q) != 2 || q[0].Entry.ID != "bad-0" || !strings.Contains(q[0].Reason, "not authorized") || q[0].Time.IsZero() {
					t.Errorf("Quarantined: %+v, %v", q, err)
				}
				// Put back once the topic is allowed, they go in order.
				b.mu.Lock()
				b.refuses = nil
				b.mu.Unlock()
				if err := r.RetryQuarantined(t.Context(), q[0].Seq, q[1].Seq); err != nil {
					t.Fatal(err)
				}
				advance(time.Second)
				if _, sent := b.state(); sent != 3 || len(b.wrong) > 0 {
					t.Errorf("%d sent after RetryQuarantined, out of order %v", sent, b.wrong)
				}
			})
		})
	}
}

// stores.md 13: when the quarantine is full, an entry stays in the store, its key stays
// closed, it is tried again after long pauses, and that is reported.
func TestFullQuarantineKeepsTheKeyClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := outbox.NewMemory(outbox.MemoryOptions{MaxQuarantined: 2})
		if err != nil {
			t.Fatal(err)
		}
		b := newACLBroker(bad)
		full := 0
		r, stop := start(t, s, b.send, relay.Options{
			Permanent: func(err error) bool { return errors.Is(err, errNotAuthorized) },
			Observe: relay.Observe{QuarantineFull: func(k relay.ClosedKey) {
				if !errors.Is(k.Err, outbox.ErrQuarantineShare) { // reported separately
					full++
				}
			}},
		})
		defer stop()
		for i := range 4 {
			fill(t, s, entry(fmt.Sprint("bad", i), 0), entry(fmt.Sprint("bad", i), 1))
		}
		fill(t, s, entry("good", 0))
		advance(10 * time.Minute)
		h := r.Health(t.Context())
		if h.Quarantined != 2 || h.MaxQuarantined != 2 || h.Depth != 6 || h.ClosedKeys == 0 {
			t.Errorf("Health: %+v", h)
		}
		tries, sent := b.state()
		if sent != 1 || tries > 8*12 || tries < 8 {
			t.Errorf("%d attempts, %d sent", tries, sent)
		}
		if full < 5 || full > 11 {
			t.Errorf("reported %d times in 10 minutes", full)
		}
		q, err := s.Quarantined(t.Context(), 0, 10)
		if err != nil || len(q) != 2 {
			t.Fatalf("%v, %v", q, err)
		}
		if err := s.DeleteQuarantined(t.Context(), q[0].Seq, q[1].Seq); err != nil {
			t.Fatal(err)
		}
		advance(2 * time.Minute)
		if st, _ := s.Stats(t.Context()); st.Quarantined != 2 || st.Depth != 4 {
			t.Errorf("with room again: %+v", st)
		}
	})
}

// One key cannot fill the quarantine. Beyond its share it stays closed and is tried again
// after long pauses; that is reported, and entries of other keys are quarantined.
func TestKeyWithItsShareOfTheQuarantineStaysClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := outbox.NewMemory(outbox.MemoryOptions{MaxQuarantined: 16})
		if err != nil {
			t.Fatal(err)
		}
		b := newACLBroker(bad)
		var told []relay.ClosedKey
		r, stop := start(t, s, b.send, relay.Options{
			Permanent: func(err error) bool { return errors.Is(err, errNotAuthorized) },
			Observe:   relay.Observe{QuarantineFull: func(k relay.ClosedKey) { told = append(told, k) }},
		})
		defer stop()
		for i := range 100 {
			fill(t, s, entry("bad", i))
		}
		advance(10 * time.Minute)
		for i := range 4 {
			fill(t, s, entry(fmt.Sprint("bad", i), 0))
		}
		fill(t, s, entry("good", 0))
		advance(10 * time.Second)
		h := r.Health(t.Context())
		if h.Quarantined != 8+4 || h.Depth != 100-8 || h.ClosedKeys != 1 {
			t.Errorf("Health: %+v", h)
		}
		if tries, sent := b.state(); sent != 1 || tries > 150 {
			t.Errorf("%d attempts, %d sent", tries, sent)
		}
		if len(told) < 5 || len(told) > 11 {
			t.Errorf("reported %d times in 10 minutes", len(told))
		}
		for _, k := range told {
			if k.Key != "bad" || !errors.Is(k.Err, outbox.ErrQuarantineShare) || !errors.Is(k.Err, errNotAuthorized) {
				t.Errorf("told %+v", k)
			}
		}
		q, err := s.Quarantined(t.Context(), 0, 6)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range q {
			if err := s.DeleteQuarantined(t.Context(), x.Seq); err != nil {
				t.Fatal(err)
			}
		}
		advance(2 * time.Minute)
		if h := r.Health(t.Context()); h.Quarantined != 8 || h.Depth != 100-8-2 {
			t.Errorf("with room again: %+v", h)
		}
	})
}

// A retry that exceeds the bound is reported.
func TestRequeueBeyondTheBound(t *testing.T) {
	t.Parallel()
	s, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	e := entry("a", 0)
	fill(t, s, e)
	if err := s.Quarantine(t.Context(), e.Seq, "x"); err != nil {
		t.Fatal(err)
	}
	fill(t, s, entry("a", 1))
	if err := s.RetryQuarantined(t.Context(), e.Seq); !errors.Is(err, outbox.ErrFull) {
		t.Errorf("RetryQuarantined: %v", err)
	}
	if q, err := s.Quarantined(t.Context(), 0, 9); err != nil || len(q) != 1 || !slices.Equal(q[0].Entry.Payload, e.Payload) {
		t.Errorf("%v, %v", q, err)
	}
}

// emptied waits until the store is empty; Flush does not wait for refused entries.
func emptied(t *testing.T, s outbox.Store) {
	t.Helper()
	for range 24 * 60 * 60 {
		if depth(t, s) == 0 {
			return
		}
		advance(time.Second)
	}
	t.Errorf("%d entries are left after a day", depth(t, s))
}
