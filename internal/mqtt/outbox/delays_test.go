package outbox_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	store "github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox"
)

func delayedEntry(n int, d time.Duration) *store.Entry {
	e := entry(n)
	e.Due = time.Now().Add(d)
	return e
}

func (b *broker) sent() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.got)
}

// A delayed entry delays no other of its key, is sent when it is due and not before, and
// joins the end then. Health and Delayed show it until it does.
func TestDelayed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b broker
		o := open(t, &b, nil)
		o.Start()
		defer o.Stop(t.Context())
		o.Connection(true, true)
		for _, e := range []*store.Entry{delayedEntry(3, 2*time.Hour), delayedEntry(2, time.Hour), entry(1)} {
			if err := o.Append(t.Context(), e); err != nil {
				t.Fatal(err)
			}
		}
		start := time.Now()
		<-time.After(time.Second)
		synctest.Wait()
		if b.sent() != "[1]" {
			t.Errorf("sent %v", b.sent())
		}
		if h := o.Health(); h.Delayed != 2 || h.Depth != 0 || h.DelayedBytes == 0 || !h.NextDue.Equal(start.Add(time.Hour)) {
			t.Errorf("Health: %+v", h)
		}
		if list, err := o.Delayed(t.Context(), nil, 10); err != nil || len(list) != 2 || list[0].ID != "2" {
			t.Errorf("Delayed: %v, %v", list, err)
		}
		<-time.After(time.Hour - time.Second - time.Millisecond)
		synctest.Wait()
		if b.sent() != "[1]" {
			t.Errorf("sent %v", b.sent())
		}
		<-time.After(time.Millisecond)
		synctest.Wait()
		if b.sent() != "[1 2]" {
			t.Errorf("sent %v", b.sent())
		}
		if n, err := o.CancelDelayed(t.Context(), "3", "2"); n != 1 || err != nil {
			t.Errorf("CancelDelayed: %d, %v", n, err)
		}
		<-time.After(2 * time.Hour)
		synctest.Wait()
		if h := o.Health(); b.sent() != "[1 2]" || h.Delayed != 0 || !h.NextDue.IsZero() {
			t.Errorf("sent %v, Health %+v", b.sent(), h)
		}
	})
}

// What becomes due while nothing runs is sent after the next start, also when it is more than
// there is room for at once.
func TestDelayedWhileStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var b broker
		o := open(t, &b, nil) // has room for 10
		for n := range 30 {
			if err := o.Append(t.Context(), delayedEntry(n, time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		<-time.After(2 * time.Hour)
		if h := o.Health(); h.Delayed != 30 || h.Depth != 0 {
			t.Errorf("Health: %+v", h)
		}
		o.Start()
		defer o.Stop(t.Context())
		o.Connection(true, true)
		<-time.After(time.Minute)
		synctest.Wait()
		if h := o.Health(); len(strings.Fields(b.sent())) != 30 || h.Delayed != 0 {
			t.Errorf("sent %v, Health %+v", b.sent(), h)
		}
	})
}

// undelayed is a store that cannot delay.
type undelayed struct{ store.Store }

func TestStoreThatCannotDelay(t *testing.T) {
	t.Parallel()
	var b broker
	o := open(t, &b, func(s *outbox.Settings) { s.Store = undelayed{s.Store} })
	defer o.Stop(t.Context())
	appended := o.Append(t.Context(), delayedEntry(1, time.Hour))
	async := o.AppendAsync(t.Context(), delayedEntry(1, time.Hour), func(error) { t.Error("the callback was called") })
	_, canceled := o.CancelDelayed(t.Context(), "1")
	_, listed := o.Delayed(t.Context(), nil, 1)
	for what, err := range map[string]error{"Append": appended, "AppendAsync": async, "CancelDelayed": canceled, "Delayed": listed} {
		if e, ok := errors.AsType[*event.Error](err); !ok || e.Reason != event.ReasonUnsupported {
			t.Errorf("%s: %v, want UNSUPPORTED", what, err)
		}
	}
	if h := o.Health(); h.Depth != 0 {
		t.Errorf("Health: %+v", h)
	}
}

// Delayed entries that find no room do not report that the outbox is full: others have room.
func TestDelayedFull(t *testing.T) {
	t.Parallel()
	var b broker
	s, err := store.NewMemory(store.MemoryOptions{MaxEntries: 10, MaxDelayed: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := open(t, &b, func(settings *outbox.Settings) { settings.Store = s })
	if err := o.Append(t.Context(), delayedEntry(1, time.Hour)); err != nil {
		t.Fatal(err)
	}
	err = o.Append(t.Context(), delayedEntry(2, time.Hour))
	if e, ok := errors.AsType[*event.Error](err); !ok || e.Reason != event.ReasonOutboxFull || !errors.Is(err, store.ErrDelayedFull) {
		t.Errorf("Append: %v, want OUTBOX_FULL", err)
	}
	if err := o.Append(t.Context(), entry(3)); err != nil {
		t.Error(err)
	}
	o.Stop(t.Context())
	if len(b.told) > 0 || len(b.lines) > 0 {
		t.Errorf("told %v, logged %v", b.told, b.lines)
	}
}
