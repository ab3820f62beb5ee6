package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	store "github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// broker takes what an outbox sends.
type broker struct {
	mu    sync.Mutex
	got   []string // ids
	told  []event.OutboxKind
	lines []string
	err   error // of each entry; nil takes it
}

func (b *broker) take(id string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err == nil {
		b.got = append(b.got, id)
	}
	return b.err
}

func (b *broker) log(message string, fields []any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, fmt.Sprint(message, " ", fields))
}

func (b *broker) Debug(message string, fields ...any)           { b.log(message, fields) }
func (b *broker) Info(message string, fields ...any)            { b.log(message, fields) }
func (b *broker) Warn(message string, fields ...any)            { b.log(message, fields) }
func (b *broker) Error(message string, fields ...any)           { b.log(message, fields) }
func (b *broker) Panic(message string, _ []byte, fields ...any) { b.log(message, fields) }

func (b *broker) link() outbox.Link {
	return outbox.Link{
		Relay: func(_ context.Context, e *store.Entry, _ func(), done func(error)) error {
			done(b.take(e.ID))
			return nil
		},
		Publish:  func(_ context.Context, e *store.Entry, _ func()) error { return b.take(e.ID) },
		Apart:    func(string) bool { return false },
		Unrouted: func(string) {},
		Hook: func(info event.OutboxInfo) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told = append(b.told, info.Kind)
		},
		Protect: func(_ string, f func()) { f() },
		Log:     logsafe.Log{Logger: b}, Timeout: func() time.Duration { return time.Minute },
	}
}

func open(t *testing.T, b *broker, change func(*outbox.Settings)) *outbox.Outbox {
	t.Helper()
	s, err := store.NewMemory(store.MemoryOptions{MaxEntries: 10})
	if err != nil {
		t.Fatal(err)
	}
	settings := outbox.Settings{Store: s}
	if change != nil {
		change(&settings)
	}
	o, err := outbox.New(settings, b.link())
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func entry(n int) *store.Entry {
	return &store.Entry{Message: message.Message{Topic: "t", QoS: 1}, ID: fmt.Sprint(n)}
}

// What is taken before Start, by callers that wait and callers that do not, is sent in
// order after it, and Stop leaves nothing.
func TestOutboxSendsInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b broker
		o := open(t, &b, nil)
		outcomes := make(chan error, 2)
		for n := range 4 {
			var err error
			if n%2 == 0 {
				err = o.Append(t.Context(), entry(n))
			} else {
				err = o.AppendAsync(t.Context(), entry(n), func(err error) { outcomes <- err })
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(<-outcomes, <-outcomes); err != nil {
			t.Fatal(err)
		}
		if h := o.Health(); h.Depth != 4 {
			t.Errorf("%d wait, want 4", h.Depth)
		}
		o.Start()
		o.Connection(true, true)
		if left, flying := o.Stop(t.Context()); left != 0 || flying != 0 {
			t.Errorf("%d are left, %d without an outcome", left, flying)
		}
		if want := []string{"0", "1", "2", "3"}; !slices.Equal(b.got, want) {
			t.Errorf("sent %v, want %v", b.got, want)
		}
	})
}

// A full store is one OUTBOX_FULL for each publish, and one line of the log.
func TestFullOutboxIsLoggedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b broker
		o := open(t, &b, nil)
		full := 0
		for n := range 30 {
			if e, ok := errors.AsType[*event.Error](o.Append(t.Context(), entry(n))); ok && e.Reason == event.ReasonOutboxFull && !e.MayHaveBeenSent {
				full++
			}
		}
		synctest.Wait()
		if full != 20 || len(b.lines) != 1 || !strings.Contains(b.lines[0], "full") || !slices.Equal(b.told, []event.OutboxKind{event.OutboxFull}) {
			t.Errorf("%d publishes failed, logged %q, told %v", full, b.lines, b.told)
		}
	})
}

// A gate that is closed holds everything back, and nothing is lost by it.
func TestGateHoldsBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b broker
		let := make(chan struct{})
		o := open(t, &b, func(s *outbox.Settings) {
			s.Gate = func(ctx context.Context) error {
				select {
				case <-let:
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}
		})
		if err := o.Append(t.Context(), entry(1)); err != nil {
			t.Fatal(err)
		}
		o.Start()
		o.Connection(true, true)
		synctest.Wait()
		if h := o.Health(); !h.GateClosed || len(b.got) != 0 {
			t.Errorf("held back %t, sent %v", h.GateClosed, b.got)
		}
		close(let)
		synctest.Wait()
		if h := o.Health(); h.GateClosed || len(b.got) != 1 {
			t.Errorf("held back %t, sent %v", h.GateClosed, b.got)
		}
		if left, _ := o.Stop(t.Context()); left != 0 || len(b.got) != 1 {
			t.Errorf("%d are left, sent %v", left, b.got)
		}
	})
}

// What can never be sent is quarantined, and comes back when an operator says so.
func TestQuarantineComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := broker{err: &event.Error{Op: "publish", Reason: event.ReasonTooLarge}}
		o := open(t, &b, nil)
		if err := o.Append(t.Context(), entry(1)); err != nil {
			t.Fatal(err)
		}
		o.Start()
		o.Connection(true, true)
		synctest.Wait()
		list, err := o.Quarantined(t.Context(), 0, 10)
		if err != nil || len(list) != 1 {
			t.Fatalf("%d are quarantined, %v", len(list), err)
		}
		b.mu.Lock()
		b.err = nil
		b.mu.Unlock()
		if err := o.RetryQuarantined(t.Context(), list[0].Seq); err != nil {
			t.Fatal(err)
		}
		if left, _ := o.Stop(t.Context()); left != 0 || !slices.Equal(b.got, []string{"1"}) {
			t.Errorf("%d are left, sent %v", left, b.got)
		}
	})
}

// Keys and ids that not every store can keep are refused before any store has them.
func TestKeysOfEveryStore(t *testing.T) {
	t.Parallel()
	var b broker
	o := open(t, &b, nil)
	for _, key := range []string{strings.Repeat("k", 65_536), "\xff", "a\x00b"} {
		e := entry(1)
		e.Key = key
		if err, ok := errors.AsType[*event.Error](o.Append(t.Context(), e)); !ok || err.Reason != event.ReasonBadRequest {
			t.Errorf("key %.10q: %v", key, err)
		}
		e = entry(1)
		e.ID = key
		if err, ok := errors.AsType[*event.Error](o.AppendAsync(t.Context(), e, func(error) {})); !ok || err.Reason != event.ReasonBadRequest {
			t.Errorf("id %.10q: %v", key, err)
		}
	}
}
