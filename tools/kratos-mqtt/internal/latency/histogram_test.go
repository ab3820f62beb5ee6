package latency_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/latency"
)

func TestHistogram(t *testing.T) {
	t.Parallel()
	h := latency.NewHistogram()
	var text strings.Builder
	if err := h.WriteBars(&text); err != nil || text.String() != "" || h.Summary() != (latency.Summary{}) {
		t.Errorf("empty: %q, %+v, %v", text.String(), h.Summary(), err)
	}
	for i := range 1000 {
		h.Record(time.Duration(i+1) * time.Microsecond)
	}
	h.Record(-1)
	h.Record(time.Hour)
	got := h.Summary()
	if got.Count != 1002 || got.P50 < 0.499 || got.P50 > 0.502 || got.P99 < 0.98 || got.P99 > 1 || got.Max < 600_000 || got.Max > 601_000 {
		t.Errorf("%+v", got)
	}
	if err := h.WriteBars(&text); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text.String(), "\n")
	want := []string{
		"<     125µs       125  ##########", "<     250µs       125  ##########", "<     500µs       250  ####################",
		"<       1ms       500  ########################################",
	}
	for i, line := range want {
		if lines[i] != line {
			t.Errorf("%q, want %q", lines[i], line)
		}
	}
	if last := lines[len(lines)-2]; !strings.HasSuffix(last, "  1  #") {
		t.Errorf("the last of %d bars is %q", len(lines)-1, last)
	}
}
