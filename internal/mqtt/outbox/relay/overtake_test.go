package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// While some entries are refused and many are appended, no entry is sent for the first time
// after a later one of its key.
func TestNoEntryOvertakesAnEarlierOne(t *testing.T) {
	t.Parallel()
	const keys, total = 32, 20_000
	store, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: 3000})
	if err != nil {
		t.Fatal(err)
	}
	var (
		mu     sync.Mutex
		random = rand.New(rand.NewPCG(1, 2))
		last   = make(map[string]uint64) // of a key, the highest seq that was sent
		sent   = make(map[uint64]bool)
		done   int
		passed []string
		wg     sync.WaitGroup
	)
	refused := errors.New("refused")
	send := func(_ context.Context, e *outbox.Entry, outcome func(error)) error {
		mu.Lock()
		defer mu.Unlock()
		if !sent[e.Seq] && e.Seq < last[e.Key] {
			passed = append(passed, e.ID)
		}
		sent[e.Seq] = true
		last[e.Key] = max(last[e.Key], e.Seq)
		var err error
		if random.IntN(200) == 0 {
			err = refused
		}
		delay := time.Duration(random.IntN(2000)) * time.Microsecond
		wg.Go(func() {
			time.Sleep(delay) //nolint:forbidigo // the round trip
			outcome(err)
			if err == nil {
				mu.Lock()
				done++
				mu.Unlock()
			}
		})
		return nil
	}
	r, err := relay.New(store, send, relay.Options{MinBackoff: time.Millisecond, MaxBackoff: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	for n := range total {
		key := fmt.Sprint(n % keys)
		e := &outbox.Entry{Message: message.Message{Topic: key, Payload: []byte("x")}, Key: key, ID: fmt.Sprintf("%s-%d", key, n/keys)}
		for {
			err := store.Append(t.Context(), e)
			if err == nil {
				break
			}
			if !errors.Is(err, outbox.ErrFull) {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond) //nolint:forbidigo // how fast it is tried again
		}
	}
	flush, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	if err := r.Flush(flush); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	wg.Wait()
	if len(passed) > 0 {
		t.Errorf("%d of %d entries were passed by, such as %v", len(passed), total, passed[:min(5, len(passed))])
	}
}
