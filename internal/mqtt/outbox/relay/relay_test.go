package relay_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/outbox/relay"
)

// entry returns entry n of a key; its id has both.
func entry(key string, n int) *outbox.Entry {
	return &outbox.Entry{
		Message: message.Message{Topic: "t/" + key, Payload: []byte("payload"), QoS: 1},
		ID:      fmt.Sprintf("%s-%d", key, n), Key: key,
	}
}

func fill(t *testing.T, s outbox.Store, entries ...*outbox.Entry) {
	t.Helper()
	for _, e := range entries {
		if err := s.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

func newMemory(t *testing.T) outbox.Store {
	t.Helper()
	s, err := outbox.NewMemory(outbox.MemoryOptions{MaxEntries: 2_000_000, MaxBytes: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs a relay, and returns it with a function that stops it.
func start(t *testing.T, s outbox.Store, send relay.SendFunc, o relay.Options) (r *relay.Relay, stop func()) {
	t.Helper()
	r, err := relay.New(s, send, o)
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- r.Run(t.Context()) }()
	return r, func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Stop(ctx); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
}

func depth(t *testing.T, s outbox.Store) int {
	t.Helper()
	st, err := s.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Depth
}

func TestRelaySendsInOrderAndDeletes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newMemory(t)
		var sent []string
		r, stop := start(t, s, func(_ context.Context, e *outbox.Entry, done func(error)) error {
			sent = append(sent, e.ID)
			go done(nil)
			return nil
		}, relay.Options{Batch: 8})
		for i := range 100 {
			fill(t, s, entry("a", i), entry("b", i))
		}
		if err := r.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := depth(t, s); n != 0 {
			t.Errorf("%d entries left after Flush", n)
		}
		stop()
		if len(sent) != 200 {
			t.Fatalf("sent %d, want 200", len(sent))
		}
		for i := range 100 {
			if sent[2*i] != fmt.Sprintf("a-%d", i) || sent[2*i+1] != fmt.Sprintf("b-%d", i) {
				t.Fatalf("sent[%d] = %s, %s", 2*i, sent[2*i], sent[2*i+1])
			}
		}
	})
}
