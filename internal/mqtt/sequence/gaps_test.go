package sequence

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// watching returns gaps that tell nobody yet.
func watching() *Gaps {
	return NewGaps(Reports{Later: func(func()) {}, Log: func() logsafe.Log { return logsafe.Log{Logger: lines(func(string) {})} }})
}

// telling returns gaps that tell at once.
func telling(tell func(event.GapInfo)) *Gaps {
	return NewGaps(Reports{Later: func(f func()) { f() }, Gap: tell, Log: func() logsafe.Log { return logsafe.Log{Logger: lines(func(string) {})} }})
}

// lines takes each line of the log.
type lines func(string)

func (l lines) Debug(string, ...any)                {}
func (l lines) Info(message string, fields ...any)  { l(fmt.Sprint("INFO ", message, fields)) }
func (l lines) Warn(message string, fields ...any)  { l(fmt.Sprint("WARN ", message, fields)) }
func (l lines) Error(message string, fields ...any) { l(fmt.Sprint("ERROR ", message, fields)) }
func (l lines) Panic(string, []byte, ...any)        {}

// arrived has a message with the number arrive.
func (g *Gaps) arrived(topic, source string, n uint64) {
	g.Arrived(topic, fmt.Sprintf("%020d", n), source)
}

func TestGaps(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		numbers []uint64
		missing int64
		reports []int
	}{
		"in order":            {[]uint64{1, 2, 3}, 0, nil},
		"came later":          {[]uint64{100, 101}, 0, nil},
		"gap":                 {[]uint64{1, 5}, 3, []int{3}},
		"late":                {[]uint64{1, 5, 3}, 2, []int{3, -1}},
		"all late":            {[]uint64{1, 4, 2, 3}, 0, []int{2, -1, -1}},
		"edges of a hole":     {[]uint64{1, 6, 2, 5, 3, 4}, 0, []int{4, -1, -1, -1, -1}},
		"duplicates":          {[]uint64{1, 2, 2, 1, 4, 4, 2}, 1, []int{1}},
		"late and duplicate":  {[]uint64{1, 3, 2, 2, 2}, 0, []int{1, -1}},
		"two gaps":            {[]uint64{1, 3, 5, 2}, 1, []int{1, 1, -1}},
		"nonsense":            {[]uint64{1, math.MaxUint64, 2, 3}, 0, []int{0}},
		"no number":           {[]uint64{1, 0, 2}, 0, nil},
		"before the first":    {[]uint64{5, 3, 6}, 0, nil},
		"a very large number": {[]uint64{math.MaxUint64, 1}, 0, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var told []int
			g := telling(func(i event.GapInfo) { told = append(told, i.Missing) })
			for _, n := range tt.numbers {
				g.arrived("t", "s", n)
			}
			if g.missing.Load() != tt.missing || !slices.Equal(told, tt.reports) {
				t.Errorf("missing %d, reports %v; want %d, %v", g.missing.Load(), told, tt.missing, tt.reports)
			}
		})
	}
}

// Publishers and topics are distinguished, and messages without a sequence number are
// ignored.
func TestGapsOfOthers(t *testing.T) {
	t.Parallel()
	g := watching()
	g.arrived("a", "s", 1)
	g.arrived("b", "s", 7)
	g.arrived("a", "r", 9)
	g.Arrived("a", "99", "")
	g.Arrived("a", "-1", "s")
	g.Arrived("a", "", "s")
	g.Arrived("a", "", "")
	if n := g.missing.Load(); n != 0 {
		t.Errorf("missing %d", n)
	}
	g.arrived("a", "s", 3)
	g.Forget()
	g.arrived("a", "s", 10)
	if n := g.missing.Load(); n != 1 {
		t.Errorf("missing %d", n)
	}
}

// Whatever arrives, memory is bounded.
func TestGapsAreBounded(t *testing.T) {
	t.Parallel()
	g := watching()
	for i := range maxSeries + 100 {
		g.arrived("t"+strconv.Itoa(i), "s", 1)
	}
	for n := range uint64(10 * maxReports) {
		g.arrived("t", "s", 1+2*n)
	}
	if n := g.table.root.count; n != maxSeries || len(g.table.topics) != maxSeries || len(g.reports) != maxReports {
		t.Errorf("%d series, %d topics, %d reports", n, len(g.table.topics), len(g.reports))
	}
	if n := g.forgotten.Load(); n != 101 {
		t.Errorf("%d were forgotten", n)
	}
	if s, _ := g.table.find("s", "t"); len(s.holes) != maxHoles {
		t.Errorf("%d holes", len(s.holes))
	}
	if n := g.missing.Load(); n != 10*maxReports-1 {
		t.Errorf("missing %d", n)
	}
}

func FuzzGaps(f *testing.F) {
	f.Add([]byte{1, 2, 3})
	f.Add([]byte{1, 9, 4, 4, 2})
	f.Fuzz(func(t *testing.T, numbers []byte) {
		g := watching()
		seen, first, high := map[byte]bool{}, byte(0), byte(0)
		for _, n := range numbers {
			if n == 0 {
				continue
			}
			g.arrived("t", "s", uint64(n))
			if first == 0 {
				first = n
			}
			seen[n], high = true, max(high, n)
		}
		var want int64
		for n := first; n < high; n++ {
			if !seen[n] {
				want++
			}
		}
		if got := g.missing.Load(); got != want && len(numbers) < maxHoles {
			t.Errorf("%v: missing %d, want %d", numbers, got, want)
		}
	})
}
