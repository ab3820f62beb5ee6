package relay_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// broker acknowledges entries at once, except those that it is set to fail.
type broker struct {
	mu   sync.Mutex
	fail map[string]error // by id
	sent []string
}

func (b *broker) send(_ context.Context, e *outbox.Entry, done func(error)) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent = append(b.sent, e.ID)
	err := b.fail[e.ID]
	go done(err)
	return nil
}

func (b *broker) ids() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.sent...)
}

func (b *broker) heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.fail)
}

func TestRelayFailedEntryHoldsItsKeyOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newMemory(t), &broker{fail: map[string]error{"a-0": errDown}}
		fill(t, s, entry("a", 0), entry("b", 0), entry("b", 1))
		r, stop := start(t, s, b.send, relay.Options{})
		defer stop()
		synctest.Wait()
		fill(t, s, entry("a", 1), entry("b", 2))
		advance(20 * time.Second)
		ids, tries := b.ids(), 0
		for _, id := range ids {
			switch id {
			case "a-0":
				tries++
			case "a-1":
				t.Error("a-1 was sent before a-0 went through")
			}
		}
		if tries < 6 || tries > 12 { // 0.1 s doubling to 5 s, within 20 s
			t.Errorf("a-0 was tried %d times in 20 s", tries)
		}
		if h := r.Health(t.Context()); h.ClosedKeys != 1 || h.Depth != 2 || h.Sent != 3 || h.Failed == 0 {
			t.Errorf("Health: %+v", h)
		}
		b.heal()
		r.ConnectionUp()
		synctest.Wait() // at once
		if got := b.ids()[len(ids):]; !reflect.DeepEqual(got, []string{"a-0", "a-1"}) {
			t.Errorf("sent after ConnectionUp: %v", got)
		}
	})
}

func TestRelayQuarantinesWhatCanNeverBeSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newFaultyStore(t, nil), &broker{fail: map[string]error{"a-0": errRefused}}
		var told []string
		o := relay.Options{Permanent: permanent, Observe: relay.Observe{
			Quarantined: func(e *outbox.Entry, err error) { told = append(told, fmt.Sprint(e.ID, " ", err)) },
			Corrupt:     func(n int) { told = append(told, fmt.Sprint(n, " corrupt")) },
			Failed:      func(err error) { told = append(told, fmt.Sprint("failed ", err)) },
			Works:       func() { told = append(told, "works") },
		}}
		fill(t, s, entry("a", 0), entry("a", 1))
		s.fail(4) // cannot quarantine, at first
		_, stop := start(t, s, b.send, o)
		advance(10 * time.Second) // what is behind it leaves before the store fails, or waits for it
		s.fail(0)
		advance(10 * time.Second)
		if got := b.ids(); !reflect.DeepEqual(got, []string{"a-0", "a-1"}) {
			t.Errorf("sent %v", got)
		}
		if st, _ := s.Stats(t.Context()); st.Quarantined != 1 || st.Depth != 0 {
			t.Errorf("Stats: %+v", st)
		}
		fill(t, s, entry("b", 0))
		_ = s.Store.Quarantine(t.Context(), 3, "by the store itself")
		advance(2 * time.Second)
		stop()
		want := []string{"failed " + errDisk.Error(), "works", "a-0 " + errRefused.Error(), "1 corrupt"}
		if len(told) == 4 && told[1] != "works" { // the order of the two is open
			told[1], told[2] = told[2], told[1]
		}
		if !reflect.DeepEqual(told, want) {
			t.Errorf("reported %v, want %v", told, want)
		}
	})
}

func TestRelayKeepsAcknowledged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newMemory(t), &broker{}
		r, stop := start(t, s, b.send, relay.Options{KeepAcknowledged: 3 * time.Second})
		fill(t, s, entry("a", 0))
		advance(2 * time.Second)
		fill(t, s, entry("a", 1), entry("b", 0))
		advance(2 * time.Second)
		if n := depth(t, s); n != 2 { // a-0 is deleted
			t.Errorf("%d entries held, want 2", n)
		}
		r.ConnectionLost()
		synctest.Wait()
		r.ConnectionLost() // each entry is sent again once
		synctest.Wait()
		if got := b.ids()[3:]; !reflect.DeepEqual(got, []string{"a-1", "b-0"}) {
			t.Errorf("sent again %v", got)
		}
		advance(time.Second)
		if n := depth(t, s); n != 0 { // not kept twice
			t.Errorf("%d entries left after they were sent again", n)
		}
		if h := r.Health(t.Context()); h.Resent != 2 || h.Sent != 5 || h.Held != 0 {
			t.Errorf("Health: %+v", h)
		}
		stop()
	})
}

func TestRelayRetriesDeletesAndReports(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newFaultyStore(t, nil), &broker{}
		failed, works := 0, 0
		r, stop := start(t, s, b.send, relay.Options{Observe: relay.Observe{
			Failed: func(error) { failed++ }, Works: func() { works++ },
		}})
		s.fail(2)
		fill(t, s, entry("a", 0))
		advance(time.Minute)
		fill(t, s, entry("a", 1)) // not sent: it could not be deleted either
		advance(time.Minute)
		if h := r.Health(t.Context()); !errors.Is(h.Err, errDisk) || failed != 1 || works != 0 {
			t.Errorf("Health.Err %v, reported %d times, works %d", h.Err, failed, works)
		}
		s.fail(0)
		advance(10 * time.Second)
		if n := depth(t, s); n != 0 {
			t.Errorf("%d entries left", n)
		}
		if h := r.Health(t.Context()); h.Err != nil || failed != 1 || works != 1 {
			t.Errorf("Health.Err %v, reported %d times, works %d", h.Err, failed, works)
		}
		stop()
		if got := b.ids(); !reflect.DeepEqual(got, []string{"a-0", "a-1"}) {
			t.Errorf("sent %v", got)
		}
	})
}

func TestRelayDeletesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newFaultyStore(t, nil), &broker{}
		r, stop := start(t, s, b.send, relay.Options{})
		defer stop()
		for i := range 10_000 {
			fill(t, s, entry(fmt.Sprint(i%7), i))
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.deletes > 1000 {
			t.Errorf("%d deletes for 10,000 entries", s.deletes)
		}
	})
}

func TestRelayStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory(t)
		var open []func(error)
		send := func(_ context.Context, _ *outbox.Entry, done func(error)) error {
			open = append(open, done)
			return nil
		}
		fill(t, s, entry("a", 0), entry("a", 1))
		_, stop := start(t, s, send, relay.Options{})
		synctest.Wait()
		stopped := make(chan struct{})
		go func() {
			stop()
			close(stopped)
		}()
		synctest.Wait()
		fill(t, s, entry("a", 2)) // not sent after Stop
		select {
		case <-stopped:
			t.Fatal("Stop did not wait for the outcomes")
		default:
		}
		open[0](nil)
		open[1](errDown)
		<-stopped
		if n := depth(t, s); n != 2 || len(open) != 2 {
			t.Errorf("%d entries left, %d sent; want 2 and 2", n, len(open))
		}

		r, err := relay.New(s, send, relay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- r.Run(t.Context()) }()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop with outcomes that never come: %v", err)
		}
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		open[2](nil) // too late, ignored
		if err := r.Flush(t.Context()); !errors.Is(err, relay.ErrStopped) {
			t.Errorf("Flush after Stop: %v", err)
		}
		if err := r.Run(t.Context()); !errors.Is(err, relay.ErrStopped) {
			t.Errorf("Run after Stop: %v", err)
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Errorf("second Stop: %v", err)
		}
		if n := depth(t, s); n != 2 {
			t.Errorf("%d entries left, want 2", n)
		}
	})
}

// Entries that were acknowledged when the context of Run ends are deleted, so that they are
// not sent again.
func TestRelayContextEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newMemory(t), &broker{}
		fill(t, s, entry("a", 0))
		r, err := relay.New(s, b.send, relay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ran := make(chan error, 1)
		go func() { ran <- r.Run(ctx) }()
		synctest.Wait() // acknowledged; the delete waits for others
		if n := depth(t, s); n != 1 {
			t.Fatalf("depth %d, want 1", n)
		}
		cancel()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
		if n := depth(t, s); n != 0 {
			t.Errorf("depth %d, want 0", n)
		}
	})
}

func TestRelayEndsWithItsStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newMemory(t), &broker{}
		r, err := relay.New(s, b.send, relay.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- r.Run(t.Context()) }()
		synctest.Wait()
		_ = s.Close()
		if err := <-ran; !errors.Is(err, outbox.ErrClosed) {
			t.Errorf("Run: %v, want ErrClosed", err)
		}
	})
}

func TestRelayFlushIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newMemory(t), &broker{fail: map[string]error{"a-0": errDown}}
		fill(t, s, entry("a", 0))
		r, stop := start(t, s, b.send, relay.Options{})
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := r.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Flush: %v", err)
		}
		b.heal()
		if err := r.Flush(t.Context()); err != nil || depth(t, s) != 0 {
			t.Errorf("Flush: %v, depth %d", err, depth(t, s))
		}
	})
}

func TestRelayWaterMarks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: 10})
		if err != nil {
			t.Fatal(err)
		}
		b := &broker{fail: map[string]error{"a-0": errDown}}
		var told []string
		_, stop := start(t, s, b.send, relay.Options{Observe: relay.Observe{
			High: func(s outbox.Stats) { told = append(told, fmt.Sprint("high ", s.Depth)) },
			Low:  func(s outbox.Stats) { told = append(told, fmt.Sprint("low ", s.Depth)) },
		}})
		defer stop()
		for i := range 8 {
			fill(t, s, entry("a", i))
		}
		advance(10 * time.Second)
		b.heal()
		advance(10 * time.Second)
		if want := []string{"high 8", "low 1"}; !reflect.DeepEqual(told, want) {
			t.Errorf("reported %v, want %v", told, want)
		}
	})
}

func TestNewRelayReportsAllProblems(t *testing.T) {
	t.Parallel()
	_, err := relay.New(nil, nil, relay.Options{Batch: -1, KeepAcknowledged: -1, MinBackoff: time.Hour, MaxBackoff: time.Second})
	if err == nil || strings.Count(err.Error(), "\n") != 4 { // one a line
		t.Errorf("NewRelay: %v", err)
	}
}

// slowQuarantine is a store whose quarantine takes a while to answer.
type slowQuarantine struct{ outbox.Store }

func (s slowQuarantine) Quarantine(ctx context.Context, seq uint64, reason string) error {
	err := s.Store.Quarantine(ctx, seq, reason)
	<-time.After(30 * time.Second)
	return err
}

// An entry that the relay itself is putting into the quarantine is not reported as one that
// cannot be read, whenever the store is measured.
func TestRelayKnowsWhatItQuarantines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, b := newMemory(t), &broker{fail: map[string]error{"a-0": errRefused}}
		var told []string
		o := relay.Options{Permanent: permanent, Observe: relay.Observe{
			Quarantined: func(e *outbox.Entry, _ error) { told = append(told, e.ID) },
			Corrupt:     func(n int) { told = append(told, fmt.Sprint(n, " corrupt")) },
		}}
		_, stop := start(t, slowQuarantine{s}, b.send, o)
		advance(10 * time.Second) // measured once before
		fill(t, s, entry("a", 0))
		advance(2 * time.Minute)
		stop()
		if want := []string{"a-0"}; !reflect.DeepEqual(told, want) {
			t.Errorf("reported %v, want %v", told, want)
		}
	})
}
