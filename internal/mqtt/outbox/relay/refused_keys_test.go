package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

var errRefusedForNow = errors.New("refused for now")

// slowBroker refuses every topic except "allowed", after a while and on goroutines of its
// own, with at most a window in flight.
type slowBroker struct {
	window chan struct{}
	mu     sync.Mutex
	sent   map[string]int
}

func (b *slowBroker) send(ctx context.Context, e *outbox.Entry, done func(error)) error {
	select {
	case b.window <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	topic := e.Topic
	time.AfterFunc(rand.N(3*time.Millisecond), func() {
		<-b.window
		if topic[0] == 'a' {
			b.mu.Lock()
			b.sent[topic]++
			b.mu.Unlock()
			done(nil)
			return
		}
		done(errRefusedForNow)
	})
	return nil
}

// Every refused key is closed, however publishes and refusals interleave, and the other
// keys are sent.
func TestEveryRefusedKeyCloses(t *testing.T) {
	t.Parallel()
	for round := range 4 {
		t.Run(strconv.Itoa(round), func(t *testing.T) {
			t.Parallel()
			const refused, allowed = 800, 50
			store, err := outbox.NewMemory(outbox.MemoryOptions{})
			if err != nil {
				t.Fatal(err)
			}
			b := &slowBroker{window: make(chan struct{}, 20), sent: make(map[string]int)}
			r, err := relay.New(store, b.send, relay.Options{})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- r.Run(ctx) }()
			for i := range refused {
				e := &outbox.Entry{ID: fmt.Sprint("r", i)}
				e.Topic, e.QoS = fmt.Sprint("refused/", i), 1
				if err := store.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			mqtttest.Eventually(t, 20*time.Second, func() error {
				if n := r.Health(t.Context()).ClosedKeys; n != refused {
					return fmt.Errorf("%d closed keys", n)
				}
				return nil
			})
			for i := range allowed {
				e := &outbox.Entry{ID: fmt.Sprint("a", i)}
				e.Topic, e.QoS = fmt.Sprint("a/", i), 1
				if err := store.Append(t.Context(), e); err != nil {
					t.Fatal(err)
				}
			}
			mqtttest.Eventually(t, 20*time.Second, func() error {
				b.mu.Lock()
				defer b.mu.Unlock()
				if n := len(b.sent); n != allowed {
					return fmt.Errorf("%d allowed sent", n)
				}
				return nil
			})
			cancel()
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}
