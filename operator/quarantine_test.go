package operator_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// quarantine is that of a store in memory.
type quarantine struct {
	outbox.Store
	refuse map[uint64]error
	paused string          // key whose first entry failed
	sent   map[uint64]bool // entries that wait for their acknowledgement
}

func (q quarantine) RetryQuarantined(ctx context.Context, seqs ...uint64) error {
	if err := q.refuse[seqs[0]]; err != nil {
		return err
	}
	return q.Store.RetryQuarantined(ctx, seqs...)
}

func (q quarantine) Waiting(ctx context.Context, after uint64, limit int) (list []outbox.Waiting, err error) {
	entries, err := q.Peek(ctx, after, limit)
	for _, e := range entries {
		w := outbox.Waiting{Entry: e}
		if e.Key == q.paused {
			w.Reason = "not allowed"
		}
		list = append(list, w)
	}
	return list, err
}

func (q quarantine) RetryWaiting(_ context.Context, keys ...string) (n int, err error) {
	for _, key := range keys {
		if key == q.paused {
			n++
		}
	}
	return n, nil
}

func (q quarantine) DeleteWaiting(ctx context.Context, seqs ...uint64) (sent []uint64, err error) {
	if q.sent[seqs[0]] {
		return seqs, nil
	}
	return nil, q.Delete(ctx, seqs...)
}

// newQuarantine has the entries 1 to n in quarantine, of three keys, every other one for its size.
func newQuarantine(t *testing.T, n int) (quarantine, *operator.Operator) {
	t.Helper()
	store, err := outbox.NewMemory(outbox.MemoryOptions{MaxQuarantined: 10 * n})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	for i := range n {
		e := &outbox.Entry{
			Message: message.Message{Topic: fmt.Sprintf("out/%d", i), Payload: []byte(strings.Repeat("x", 100))},
			ID:      fmt.Sprint(i), Key: fmt.Sprint("key ", i%3),
		}
		if err := store.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		if err := store.Quarantine(t.Context(), e.Seq, []string{"too large", "forbidden"}[i%2]); err != nil {
			t.Fatal(err)
		}
	}
	q := quarantine{Store: store, refuse: make(map[uint64]error)}
	return q, operator.New(operator.Options{Outbox: q})
}

func (q quarantine) stats(t *testing.T) (waiting, aside int) {
	t.Helper()
	s, err := q.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Depth, s.Quarantined
}

func TestQuarantined(t *testing.T) {
	t.Parallel()
	const n = 120
	_, o := newQuarantine(t, n)
	var found, pages int
	for q := (operator.EntryQuery{Criteria: operator.EntryCriteria{Reason: "large"}, Limit: 25}); ; pages++ {
		page, err := o.Quarantined(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		found += len(page.Entries)
		if q.Cursor = page.Next; q.Cursor == "" {
			break
		}
	}
	if found != n/2 || pages != 2 {
		t.Errorf("%d entries in %d more pages", found, pages)
	}
	page, err := o.Quarantined(t.Context(), operator.EntryQuery{Criteria: operator.EntryCriteria{Topic: "+/7"}})
	if err != nil || len(page.Entries) != 1 || page.Entries[0].Entry.Topic != "out/7" {
		t.Errorf("%+v, %v", page, err)
	}
	for _, q := range []operator.EntryQuery{
		{Criteria: operator.EntryCriteria{Topic: "#/a"}},
		{Criteria: operator.EntryCriteria{Reason: strings.Repeat("x", 70_000)}},
		{Cursor: "../.."},
		{Limit: -1},
	} {
		if _, err := o.Quarantined(t.Context(), q); !errors.Is(err, operator.ErrBadRequest) {
			t.Errorf("%.40v: %v", q, err)
		}
	}
}

// An entry that cannot be given back holds those behind it with the same key.
func TestRetryQuarantined(t *testing.T) {
	t.Parallel()
	const n = 30
	q, o := newQuarantine(t, n)
	q.refuse[2] = errors.New("no")
	out, err := o.RetryQuarantined(t.Context(), operator.EntryBulk{All: true, DryRun: true})
	if err != nil || out.Selected != n || out.Done != 0 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = o.RetryQuarantined(t.Context(), operator.EntryBulk{All: true})
	if err != nil || out.Done != 20 || out.Failed != 1 || out.Held != 9 || out.Problems[0].Seq != 2 || out.Problems[0].ID != "" || out.Next != "" {
		t.Errorf("%+v, %v", out, err)
	}
	if waiting, aside := q.stats(t); waiting != 20 || aside != 10 {
		t.Errorf("%d wait, %d are quarantined", waiting, aside)
	}
	// A full outbox ends it in front of the entry.
	q.refuse[2] = &event.Error{Op: "retry", Reason: event.ReasonOutboxFull}
	out, err = o.RetryQuarantined(t.Context(), operator.EntryBulk{All: true})
	if event.ReasonOf(err) != event.ReasonOutboxFull || out.Selected != 0 || out.Next == "" {
		t.Errorf("%+v, %v", out, err)
	}
}

func TestDeleteQuarantined(t *testing.T) {
	t.Parallel()
	q, o := newQuarantine(t, 10)
	out, err := o.DeleteQuarantined(t.Context(), operator.EntryBulk{Seqs: []uint64{7, 99, 3, 7}})
	if err != nil || out.Done != 2 || out.Failed != 1 || !errors.Is(out.Problems[0].Err, operator.ErrNotQuarantined) {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = o.DeleteQuarantined(t.Context(), operator.EntryBulk{Criteria: operator.EntryCriteria{Reason: "forbidden"}, Limit: 2})
	if err != nil || out.Done != 2 || out.Next == "" {
		t.Errorf("%+v, %v", out, err)
	}
	if _, aside := q.stats(t); aside != 6 {
		t.Errorf("%d are quarantined, want 6", aside)
	}
	for name, b := range map[string]operator.EntryBulk{
		"nothing": {}, "two": {All: true, Seqs: []uint64{1}}, "a limit": {All: true, Limit: -1}, "a rate": {All: true, Rate: -1},
		"a cursor": {All: true, Cursor: "x"},
	} {
		if _, err := o.DeleteQuarantined(t.Context(), b); !errors.Is(err, operator.ErrBadRequest) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
