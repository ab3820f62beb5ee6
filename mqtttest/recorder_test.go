package mqtttest_test

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestRecorderClassifies(t *testing.T) {
	t.Parallel()
	r := mqtttest.NewRecorder()
	for _, id := range []string{"ok", "twice", "lost1", "lost0", "letter", "kept"} {
		r.Attempted(id)
		r.Accepted(id)
	}
	r.Attempted("unknown outcome")
	r.Attempted("never arrived")
	for _, id := range []string{"ok", "twice", "twice", "twice", "unknown outcome", "from nowhere"} {
		r.Handled(id)
	}

	r.Dead("letter")
	r.Dead("twice") // a letter that was replayed
	r.InOutbox("kept")

	got := r.Report()
	for name, list := range map[string][2][]string{
		"lost":       {got.Lost, {"lost0", "lost1"}},
		"unexpected": {got.Unexpected, {"from nowhere"}},
		"recovered":  {got.Recovered, {"unknown outcome"}},
		"duplicated": {got.Duplicated, {"twice"}},
	} {
		if !slices.Equal(list[0], list[1]) {
			t.Errorf("%s %q, want %q", name, list[0], list[1])
		}
	}
	const line = "accepted 6 handled 4 dead 2 outbox 1 lost 2 duplicates 2 unexpected 1 recovered 1"
	if got.String() != line || got.Attempted != 8 {
		t.Errorf("%v, attempted %d; want %s", got, got.Attempted, line)
	}
	if p := r.Progress(); p != (mqtttest.Progress{Accepted: 6, Handled: 4, Lost: 2, Duplicates: 2}) {
		t.Errorf("%+v", p)
	}
	if got.Err() == nil {
		t.Error("a loss is no error")
	}
}

func TestRecorderConcurrent(t *testing.T) {
	t.Parallel()
	r := mqtttest.NewRecorder()
	var wg sync.WaitGroup
	for i := range 100 {
		id := fmt.Sprint(i)
		wg.Go(func() { r.Attempted(id); r.Accepted(id) })
		wg.Go(func() { r.Handled(id) })
	}
	wg.Wait()
	if got := r.Report(); got.Accepted != 100 || got.Handled != 100 || got.Err() != nil {
		t.Error(got)
	}
}

// table is a result of SELECT id.
type table struct {
	ids  []string
	fail error
}

func (t *table) Next() bool { return len(t.ids) > 0 }

func (t *table) Scan(dest ...any) error {
	*dest[0].(*string) = t.ids[0]
	t.ids = t.ids[1:]
	return nil
}

func (t *table) Err() error { return t.fail }

func TestRecorderReadsRows(t *testing.T) {
	t.Parallel()
	r := mqtttest.NewRecorder()
	r.Accepted("a")
	if n, err := r.HandledFrom(&table{ids: []string{"a", "b", "a"}}); n != 3 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	if got := r.Report(); got.Duplicates != 1 || len(got.Unexpected) != 1 || len(got.Lost) != 0 {
		t.Error(got)
	}
	broken := errors.New("connection lost")
	if _, err := r.HandledFrom(&table{fail: broken}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestRecorderTellsIDsApart(t *testing.T) {
	t.Parallel()
	r := mqtttest.NewRecorder()
	ids := []string{
		"018f4b1e-7c2a-7abc-8def-0123456789ab", "018F4B1E-7C2A-7ABC-8DEF-0123456789AB", "018f4b1e7c2a7abc8def0123456789ab",
		"018f4b1e-7c2a-7abc-8def-0123456789ag", "018f4b1e-7c2a-7abc-8def+0123456789ab", "",
	}
	for _, id := range ids {
		r.Accepted(id)
	}
	slices.Sort(ids)
	if got := r.Report().Lost; !slices.Equal(got, ids) {
		t.Errorf("%q", got)
	}
}

// A million ids fit into a test beside everything else.
func TestRecorderIsCompact(t *testing.T) {
	const n = 1_000_000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	r := mqtttest.NewRecorder()
	for i := range n {
		id := fmt.Sprintf("018f4b1e-7c2a-7abc-8def-%012x", i)
		r.Accepted(id)
		r.Handled(id)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if perID := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n; perID > 80 {
		t.Errorf("%d bytes for an id", perID)
	}
	if got := r.Report(); got.Handled != n || got.Err() != nil {
		t.Error(got)
	}
}
