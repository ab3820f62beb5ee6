package operator_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/operator"
)

// newWaiting has the entries 1 to 12 waiting, of the keys 0 to 2 in turn. The first entry of
// key 1 failed, and entry 3 was sent already.
func newWaiting(t *testing.T) (quarantine, *[]operator.Action, *operator.Operator) {
	t.Helper()
	store, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	for i := range 12 {
		e := &outbox.Entry{Message: message.Message{Topic: fmt.Sprintf("out/%d", i%3), Payload: []byte("x")}, ID: fmt.Sprint(i), Key: fmt.Sprint(i % 3)}
		if err := store.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	q := quarantine{Store: store, paused: "1", sent: map[uint64]bool{3: true}}
	actions := new([]operator.Action)
	return q, actions, operator.New(operator.Options{Outbox: q, Audit: func(a operator.Action) { *actions = append(*actions, a) }})
}

// Waiting entries are listed in pages, by filter and with the reason of their key.
func TestWaiting(t *testing.T) {
	t.Parallel()
	_, _, o := newWaiting(t)
	var seqs []uint64
	for q := (operator.EntryQuery{Limit: 5}); ; {
		page, err := o.Waiting(t.Context(), q)
		if err != nil || len(page.Entries) > 5 {
			t.Fatalf("%d entries, %v", len(page.Entries), err)
		}
		for _, e := range page.Entries {
			seqs = append(seqs, e.Seq)
		}
		if q.Cursor = page.Next; page.Next == "" {
			break
		}
	}
	if len(seqs) != 12 || seqs[0] != 1 || seqs[11] != 12 {
		t.Errorf("listed %v", seqs)
	}
	page, err := o.Waiting(t.Context(), operator.EntryQuery{Criteria: operator.EntryCriteria{Reason: "allowed", Topic: "out/+"}})
	if err != nil || len(page.Entries) != 4 || page.Entries[0].Seq != 2 || page.Entries[0].Reason != "not allowed" {
		t.Errorf("%+v, %v", page, err)
	}
}

// Waiting entries are deleted by filter and by number, first as a dry run. What was sent
// already stays, and does not hold others of its key.
func TestDeleteWaiting(t *testing.T) {
	t.Parallel()
	q, actions, o := newWaiting(t)
	b := operator.EntryBulk{Criteria: operator.EntryCriteria{Topic: "out/2"}, DryRun: true, By: "ann"}
	if out, err := o.DeleteWaiting(t.Context(), b); err != nil || out.Selected != 4 || out.Done != 0 {
		t.Errorf("dry run: %+v, %v", out, err)
	}
	if n, _ := q.stats(t); n != 12 {
		t.Errorf("%d entries after a dry run", n)
	}
	b.DryRun = false
	out, err := o.DeleteWaiting(t.Context(), b)
	if err != nil || out.Done != 3 || out.Failed != 1 || out.Held != 0 || !errors.Is(out.Problems[0].Err, operator.ErrSending) || out.Problems[0].Seq != 3 {
		t.Errorf("%+v, %v", out, err)
	}
	out, err = o.DeleteWaiting(t.Context(), operator.EntryBulk{Seqs: []uint64{1, 6}})
	if err != nil || out.Done != 1 || out.Failed != 1 || !errors.Is(out.Problems[0].Err, operator.ErrNotWaiting) {
		t.Errorf("%+v, %v", out, err)
	}
	if n, _ := q.stats(t); n != 8 {
		t.Errorf("%d entries left, want 8", n)
	}
	if _, err := o.DeleteWaiting(t.Context(), operator.EntryBulk{}); !errors.Is(err, operator.ErrBadRequest) {
		t.Errorf("nothing is chosen: %v", err)
	}
	if a := *actions; len(a) != 3 || a[0].Name != "delete-waiting" || !a[0].DryRun || a[1].By != "ann" || a[1].Outcome.Done != 3 || a[2].IDs != 2 {
		t.Errorf("%+v", a)
	}
}

// A key that waits for the end of a pause is tried at once. Others are problems.
func TestRetryWaiting(t *testing.T) {
	t.Parallel()
	_, _, o := newWaiting(t)
	out, err := o.RetryWaiting(t.Context(), operator.EntryBulk{All: true})
	if err != nil || out.Done != 4 || out.Failed != 2 || out.Held != 6 || !errors.Is(out.Problems[0].Err, operator.ErrNotPaused) {
		t.Errorf("%+v, %v", out, err)
	}
}

// An operation without time takes one entry, so that it gets on, and says where to go on.
func TestEntriesGetOn(t *testing.T) {
	t.Parallel()
	_, _, o := newWaiting(t)
	for name, b := range map[string]operator.EntryBulk{"all": {All: true}, "numbers": {Seqs: []uint64{1, 2}}} {
		b.Within = 1 // passes at once
		out, err := o.DeleteWaiting(t.Context(), b)
		if err != nil || out.Selected != 1 || out.Next == "" {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
		b.Within, b.Cursor, b.DryRun = 0, out.Next, true
		if out, err = o.DeleteWaiting(t.Context(), b); err != nil || out.Selected < 1 || out.Next != "" {
			t.Errorf("%s: continued: %+v, %v", name, out, err)
		}
	}
}

// An operation takes no entry that the outbox accepted after it had begun, also where another
// call continues it.
func TestEntriesThatAreYounger(t *testing.T) {
	t.Parallel()
	q, _, o := newWaiting(t)
	b := operator.EntryBulk{All: true, Limit: 4}
	out, err := o.DeleteWaiting(t.Context(), b)
	if err != nil || out.Selected != 4 || out.Next == "" {
		t.Fatalf("%+v, %v", out, err)
	}
	<-time.After(10 * time.Millisecond)
	e := &outbox.Entry{Message: message.Message{Topic: "out/0", Payload: []byte("x")}, ID: "young", Key: "0"}
	if err := q.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	b.Limit, b.Cursor = 0, out.Next
	if out, err = o.DeleteWaiting(t.Context(), b); err != nil || out.Done != 8 || out.Next != "" {
		t.Errorf("%+v, %v", out, err)
	}
	if page, err := o.Waiting(t.Context(), operator.EntryQuery{}); err != nil || len(page.Entries) != 2 || page.Entries[1].ID != "young" {
		t.Errorf("%+v, %v", page, err)
	}
	b.Cursor = "4"
	if _, err = o.DeleteWaiting(t.Context(), b); !errors.Is(err, operator.ErrBadRequest) {
		t.Errorf("the cursor of a page: %v", err)
	}
}
