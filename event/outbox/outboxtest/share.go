package outboxtest

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// TestQuarantineShare tests the share of one key in the quarantine of a store. Each call of
// open must return an empty store with room for 16 quarantined entries, or for the given
// number of bytes; TestQuarantineShare closes it.
func TestQuarantineShare(t *testing.T, open func(t *testing.T, bytes int64) outbox.Store) {
	t.Helper()
	for name, bytes := range map[string]int64{"Entries": 1 << 30, "Bytes": 17 * sharePayload} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, bytes)
			t.Cleanup(func() { _ = s.Close() })
			testShare(t, s)
		})
	}
}

const sharePayload = 1000

// ofTopic returns n entries without a key.
func ofTopic(topic string, n int) []*outbox.Entry {
	es := make([]*outbox.Entry, n)
	for i := range es {
		es[i] = &outbox.Entry{
			Message: message.Message{Topic: topic, Payload: make([]byte, sharePayload), QoS: 1}, ID: fmt.Sprint(topic, i),
		}
	}
	return es
}

func testShare(t *testing.T, s outbox.Store) {
	const evil = "commands/evil"
	es := ofTopic(evil, 100)
	put(t, s, es...)
	had := putAside(t, s, es)
	if n := aside(t, s, evil); n != had || n < 7 || n > 8 {
		t.Errorf("%d of one key are quarantined, %d reported; want half of what may be", n, had)
	}
	for i := range 2 {
		honest := ofTopic(fmt.Sprint("commands/honest", i), 1)
		put(t, s, honest...)
		if err := s.Quarantine(t.Context(), honest[0].Seq, "refused"); err != nil {
			t.Errorf("Quarantine of another key: %v", err)
		}
	}
	if st := stats(t, s); st.Depth != 100-had || st.Quarantined != had+2 {
		t.Errorf("Stats: %+v", st)
	}
	for name, free := range map[string]func(context.Context, ...uint64) error{"DeleteQuarantined": s.DeleteQuarantined, "RetryQuarantined": s.RetryQuarantined} {
		q, err := s.Quarantined(t.Context(), 0, 3)
		if err != nil || len(q) != 3 {
			t.Fatalf("Quarantined: %d, %v", len(q), err)
		}
		// After this, less than half is used.
		if err := free(t.Context(), q[0].Seq, q[1].Seq, q[2].Seq); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if n := putAside(t, s, es[50:]); n < 1 || n > 3 {
			t.Errorf("%s of 3: room for %d, want 1 to 3", name, n)
		}
	}
}

// putAside quarantines entries of one key until there is no more room, and returns how many
// fit.
func putAside(t *testing.T, s outbox.Store, es []*outbox.Entry) int {
	t.Helper()
	before := stats(t, s).Quarantined
	for _, e := range es {
		err := s.Quarantine(t.Context(), e.Seq, "refused")
		if err != nil && (!errors.Is(err, outbox.ErrQuarantineShare) || !errors.Is(err, outbox.ErrQuarantineFull)) {
			t.Fatalf("Quarantine: %v, want ErrQuarantineShare", err)
		}
	}
	return stats(t, s).Quarantined - before
}

// aside returns the number of quarantined entries of a key.
func aside(t *testing.T, s outbox.Store, key string) (n int) {
	t.Helper()
	q, err := s.Quarantined(t.Context(), 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range q {
		if x.Entry.Order() == key {
			n++
		}
	}
	return n
}
