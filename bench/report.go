package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/bench/internal/meter"
)

// result holds a sample of each contender of a row for each round.
type result struct {
	row     row
	samples map[string][]meter.Sample
}

// report writes the lines of the table and returns those below their must. decode is the
// number of allocations of proto.Unmarshal.
func (r *result) report(w io.Writer, decode float64) (below []string) {
	for _, g := range r.row.goals {
		of := ""
		if g.over == fastestOther {
			g.over = r.fastest()
			of = " over " + g.over
		}
		ratios := r.ratios(g)
		if len(ratios) == 0 {
			continue
		}
		median := middle(ratios)
		line := fmt.Sprintf("ratio %s %.2f min %.2f max %.2f%s%s",
			g.name, median, slices.Min(ratios), slices.Max(ratios), of, bounds(g.must, g.aim))
		fmt.Fprintln(w, line)
		if missed(median, g.must, g.must >= g.aim) {
			below = append(below, line)
		}
	}
	for _, g := range r.row.allocs {
		own := 0.0
		if g.decodes {
			own = decode
		}
		n := r.median(g.of, func(s meter.Sample) float64 { return s.Allocs }) - own
		line := fmt.Sprintf("allocs %s %.2f%s", g.name, n, bounds(g.must, g.aim))
		fmt.Fprintln(w, line)
		if missed(n, g.must, true) {
			below = append(below, line)
		}
	}
	for _, e := range r.row.entries {
		r.info(w, e.name)
	}
	return below
}

// info writes the numbers behind the ratios.
func (r *result) info(w io.Writer, name string) {
	s := r.samples[name]
	if len(s) == 0 {
		return
	}
	reorders := int64(0)
	for _, x := range s {
		reorders += x.Reorders
	}
	fmt.Fprintf(w, "info %s %s %.0f/s cpu %.2f µs allocs %.2f bytes %.0f calls %.3f reorders %d lost %.2f%%\n", r.row.name, name,
		r.median(name, rate), r.median(name, cpu),
		r.median(name, func(s meter.Sample) float64 { return s.Allocs }),
		r.median(name, func(s meter.Sample) float64 { return s.Bytes }),
		r.median(name, func(s meter.Sample) float64 { return s.Calls }), reorders,
		100*r.lost(name))
}

// lost returns the largest share that a contender lost in any round.
func (r *result) lost(name string) (most float64) {
	for _, s := range r.samples[name] {
		most = max(most, s.Lost)
	}
	return most
}

// losses returns our contenders whose losses exceed the limit of the row.
func (r *result) losses() (over []string) {
	if r.row.maxLost == 0 {
		return nil
	}
	for _, e := range r.row.entries {
		if n := r.lost(e.name); ours(e.name) && n > r.row.maxLost {
			over = append(over, fmt.Sprintf("%s %s lost %.2f%%, at most %.2f%%", r.row.name, e.name, 100*n, 100*r.row.maxLost))
		}
	}
	return over
}

// fastest returns the contender that [fastestOther] stands for, or "" if there is none.
func (r *result) fastest() (name string) {
	for _, e := range r.row.entries {
		if ours(e.name) || r.lost(e.name) > 0 {
			continue
		}
		if name == "" || r.median(e.name, rate) > r.median(name, rate) {
			name = e.name
		}
	}
	return name
}

func (r *result) ratios(g goal) (out []float64) {
	a, b := r.samples[g.of], r.samples[g.over]
	for i := range min(len(a), len(b)) {
		if v := g.value(b[i]); v > 0 {
			out = append(out, g.value(a[i])/v)
		}
	}
	return out
}

func (r *result) median(name string, value func(meter.Sample) float64) float64 {
	var all []float64
	for _, s := range r.samples[name] {
		all = append(all, value(s))
	}
	return middle(all)
}

func bounds(must, aim float64) string {
	if must == 0 && aim == 0 {
		return ""
	}
	return fmt.Sprintf(" must %g aim %g", must, aim)
}

// missed reports whether a number does not meet its must.
func missed(n, must float64, cost bool) bool {
	switch {
	case must == 0:
		return false
	case cost:
		return n > must
	}
	return n < must
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func summary(w io.Writer, below []string) {
	if len(below) == 0 {
		fmt.Fprintln(w, "every must is met")
		return
	}
	fmt.Fprintf(w, "below must:\n  %s\n", strings.Join(below, "\n  "))
}
