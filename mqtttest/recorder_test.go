package mqtttest_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestRecorderClassifies(t *testing.T) {
	t.Parallel()
	r := mqtttest.NewRecorder()
	for _, id := range []string{"ok", "twice", "lost1", "lost0"} {
		r.Attempted(id)
		r.Accepted(id)
	}
	r.Attempted("unknown outcome")
	r.Attempted("never arrived")
	for _, id := range []string{"ok", "twice", "twice", "twice", "unknown outcome", "from nowhere"} {
		r.Handled(id)
	}

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
	const line = "accepted 4 handled 4 lost 2 duplicates 2 unexpected 1 recovered 1"
	if got.String() != line || got.Attempted != 6 {
		t.Errorf("%v, attempted %d; want %s", got, got.Attempted, line)
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
