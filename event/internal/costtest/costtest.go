// Package costtest measures the cost of store operations with many entries.
package costtest

import (
	"cmp"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Sizes returns the numbers of entries to measure with: those in the environment variable
// GROWTH, such as "10000,100000,1000000", else 10,000 and 100,000.
func Sizes(b *testing.B) (sizes []int) {
	b.Helper()
	for size := range strings.SplitSeq(cmp.Or(os.Getenv("GROWTH"), "10000,100000"), ",") {
		n, err := strconv.Atoi(size)
		if err != nil {
			b.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	return sizes
}

// Times holds the durations of operations by name. It is not safe for concurrent use.
type Times struct {
	b     *testing.B
	took  map[string]time.Duration
	count map[string]int
}

// New returns an empty Times.
func New(b *testing.B) *Times {
	b.Helper()
	return &Times{b, make(map[string]time.Duration), make(map[string]int)}
}

// Do measures one operation. An error ends the benchmark.
func (t *Times) Do(name string, do func() error) {
	t.b.Helper()
	began := time.Now()
	if err := do(); err != nil {
		t.b.Fatalf("%s: %v", name, err)
	}
	t.took[name] += time.Since(began)
	t.count[name]++
}

// Report reports the mean of each operation in milliseconds.
func (t *Times) Report() {
	for name, d := range t.took {
		t.b.ReportMetric(float64(d.Microseconds())/1000/float64(t.count[name]), name+"-ms")
	}
	t.b.ReportMetric(0, "ns/op")
}
