package doctest

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// capacity is the page with the table of sizes.
const capacity = "docs/guide/capacity.md"

// plan is what somebody knows of a fleet.
type plan struct{ devices, interval float64 } // seconds between two messages of a device

// What the page measured (see its first table), and what it assumes (see its second one).
const (
	serviceCPU = 107e-6 // seconds of a core for a report, from HTTP to the row
	brokerCPU  = 18e-6  // seconds of a core for a message, in and out
	rowRate    = 6200.0 // rows a second into one database

	perNode     = 100_000.0 // connections of a node
	busy        = 0.5       // part of a core in use
	spread      = 60.0      // seconds in which a fleet comes back
	latency     = 0.02      // seconds from delivery to acknowledgement
	inBroker    = 500.0     // bytes of a waiting message
	outage      = 600.0     // seconds without savers
	rowSize     = 400.0     // bytes of a row with its indexes
	batchSize   = 500.0     // receipts in a message
	batchRate   = 20.0      // messages of receipts a second and saver, one for each 50 ms
	receiptSize = 50.0      // bytes
)

// sizes are the rows of the page's table: what is computed, how, and for which plan.
var sizes = []struct {
	what, how string
	value     func(p plan) float64
	unit      string
}{
	{"messages a second", "devices ÷ interval", plan.rate, ""},
	{"CONNECTs a second after an outage", "devices ÷ 60 s", func(p plan) float64 { return p.devices / spread }, ""},
	{"nodes for connections, one of them spare", "devices ÷ 100,000 + 1", plan.nodes, ""},
	{"cores of all nodes for messages", "messages × 18 µs ÷ 0.5", func(p plan) float64 { return p.rate() * brokerCPU / busy }, ""},
	{"savers of one core, at least 2", "messages × 107 µs ÷ 0.5", plan.savers, ""},
	{"in flight for each saver", "messages ÷ savers × 20 ms", func(p plan) float64 { return p.rate() / p.savers() * latency }, ""},
	{"databases as measured", "messages ÷ (6,200 × 0.5)", func(p plan) float64 { return math.Ceil(p.rate() / (rowRate * busy)) }, ""},
	{"rows a day", "messages × 86,400 × 400 bytes", func(p plan) float64 { return p.rate() * 86400 * rowSize / 1e9 }, " GB"},
	{"waiting at the broker after 10 min without savers", "messages × 600 s × 500 bytes", func(p plan) float64 { return p.rate() * outage * inBroker / 1e9 }, " GB"},
	{"messages of receipts a second", "savers × larger of 20 and messages ÷ savers ÷ 500", plan.receipts, ""},
	{"bytes of receipts a second", "messages × 50 bytes", func(p plan) float64 { return p.rate() * receiptSize / 1e6 }, " MB"},
}

func (p plan) rate() float64   { return p.devices / p.interval }
func (p plan) nodes() float64  { return math.Ceil(p.devices/perNode) + 1 }
func (p plan) savers() float64 { return max(2, math.Ceil(p.rate()*serviceCPU/busy)) }
func (p plan) receipts() float64 {
	return p.savers() * max(batchRate, p.rate()/p.savers()/batchSize)
}

// TestCapacity checks that the table of sizes follows from the numbers above.
func TestCapacity(t *testing.T) {
	t.Parallel()
	plans := []plan{{10_000, 10}, {100_000, 60}, {1_000_000, 60}, {5_000_000, 60}}
	var b strings.Builder
	b.WriteString("| | how |")
	for _, p := range plans {
		fmt.Fprintf(&b, " %s devices, each %.0f s |", grouped(p.devices), p.interval)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(plans)) + "\n")
	for _, s := range sizes {
		fmt.Fprintf(&b, "| %s | %s |", s.what, s.how)
		for _, p := range plans {
			fmt.Fprintf(&b, " %s%s |", grouped(s.value(p)), s.unit)
		}
		b.WriteString("\n")
	}
	path := filepath.Join(root, capacity)
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "<!-- sizes: UPDATE=1 go test -run TestCapacity ./internal/test/doctest -->\n", "<!-- end of sizes -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has no place for the sizes", capacity)
	}
	want := before + begin + b.String() + end + after
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(text) {
		t.Errorf("%s is not up to date: UPDATE=1 go test -run TestCapacity ./internal/test/doctest", capacity)
	}
}

// grouped returns a number with two digits after the point if it is small, and commas.
func grouped(n float64) string {
	if n < 10 && n != math.Trunc(n) {
		return fmt.Sprintf("%.2f", n)
	}
	digits := fmt.Sprintf("%.0f", n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
