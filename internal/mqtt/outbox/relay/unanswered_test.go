package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

var errSilence = errors.New("no acknowledgement")

// silentBroker does not acknowledge entries of some keys; the sender has room for a few and
// gives up after 3 s.
type silentBroker struct {
	room chan struct{}

	mu      sync.Mutex
	healed  bool
	waiting int // sent and not acknowledged
	most    int // maximum of waiting since the last call
	sent    map[string]int
}

func newSilentBroker(room int) *silentBroker {
	return &silentBroker{room: make(chan struct{}, room), sent: map[string]int{}}
}

func (b *silentBroker) send(ctx context.Context, e *outbox.Entry, done func(error)) error {
	select {
	case b.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sent[e.ID]++
	if b.healed || !strings.HasPrefix(e.Key, "silent") {
		<-b.room
		go done(nil)
		return nil
	}
	b.waiting++
	b.most = max(b.most, b.waiting)
	time.AfterFunc(3*time.Second, func() {
		b.mu.Lock()
		b.waiting--
		b.mu.Unlock()
		<-b.room
		done(errSilence)
	})
	return nil
}

func (b *silentBroker) mostWaiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.most
	b.most = b.waiting
	return n
}

func (b *silentBroker) heal() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.healed = true
}

// After the first attempt of each key, unanswered keys are tried two at a time. They are
// reported, Flush does not wait for them, and they are sent when the broker acknowledges
// again.
func TestUnansweredKeysLeaveRoom(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const silent = 80
		s, b := newMemory(t), newSilentBroker(8)
		var told []relay.ClosedKey
		r, stop := start(t, s, b.send, relay.Options{
			Unanswered: func(err error) bool { return errors.Is(err, errSilence) },
			Observe:    relay.Observe{Unanswered: func(k relay.ClosedKey) { told = append(told, k) }},
		})
		defer stop()
		for i := range silent {
			fill(t, s, entry(fmt.Sprint("silent", i), 0), entry(fmt.Sprint("silent", i), 1))
		}
		advance(2 * silent / 8 * 4 * time.Second) // each was tried
		b.mostWaiting()
		for i := range 600 { // 10 minutes
			began := time.Now()
			fill(t, s, entry("free", i))
			for b.sentOf(fmt.Sprint("free-", i)) == 0 {
				advance(time.Millisecond)
			}
			if took := time.Since(began); took > 100*time.Millisecond {
				t.Fatalf("free-%d took %v", i, took)
			}
			advance(time.Second)
		}
		if n := b.mostWaiting(); n != 2 {
			t.Errorf("%d were tried at a time, want 2", n)
		}
		if h := r.Health(t.Context()); h.UnansweredKeys != silent || h.ClosedKeys != silent || h.Depth != 2*silent {
			t.Errorf("Health: %+v", h)
		}
		if n := len(told); n < 2 || n > 12 || !told[0].Unanswered || told[0].Topic == "" {
			t.Errorf("reported %d times: %+v", n, told[:min(n, 1)])
		}
		if err := r.Flush(t.Context()); !errors.Is(err, relay.ErrRefused) || !errors.Is(err, errSilence) {
			t.Errorf("Flush: %v", err)
		}
		b.heal()
		advance(30 * time.Second)
		if h := r.Health(t.Context()); h.Depth != 0 || h.UnansweredKeys != 0 || h.ClosedKeys != 0 {
			t.Errorf("healed: %+v", h)
		}
	})
}

func (b *silentBroker) sentOf(id string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.sent[id]
}
