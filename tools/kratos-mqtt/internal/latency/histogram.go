// Package latency measures how long things take.
package latency

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range of a histogram, and how many digits of a value are exact.
const (
	shortest = time.Microsecond
	longest  = 10 * time.Minute
	digits   = 3
)

// Histogram counts durations from 1 µs to 10 minutes with three exact digits; others count as
// the nearest of these. It is safe for concurrent use.
type Histogram struct {
	mu  sync.Mutex
	hdr *hdrhistogram.Histogram
}

// NewHistogram returns an empty histogram.
func NewHistogram() *Histogram {
	return &Histogram{hdr: hdrhistogram.New(int64(shortest/time.Microsecond), int64(longest/time.Microsecond), digits)}
}

// Record counts a duration.
func (h *Histogram) Record(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_ = h.hdr.RecordValue(int64(min(max(d, shortest), longest) / time.Microsecond)) // is in the range
}

// Summary are the percentiles of a histogram, in milliseconds. All are 0 without values.
type Summary struct {
	Count int64   `json:"count"`
	P50   float64 `json:"p50_ms"`
	P90   float64 `json:"p90_ms"`
	P99   float64 `json:"p99_ms"`
	P999  float64 `json:"p999_ms"`
	Max   float64 `json:"max_ms"`
}

// Summary returns the percentiles so far.
func (h *Histogram) Summary() Summary {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := func(percent float64) float64 { return float64(h.hdr.ValueAtPercentile(percent)) / 1e3 }
	return Summary{Count: h.hdr.TotalCount(), P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: float64(h.hdr.Max()) / 1e3}
}

// String returns the percentiles in one line.
func (s Summary) String() string {
	return fmt.Sprintf("p50 %.2f ms  p90 %.2f ms  p99 %.2f ms  p99.9 %.2f ms  max %.2f ms", s.P50, s.P90, s.P99, s.P999, s.Max)
}

// width is the length of the longest bar.
const width = 40

// WriteBars writes how many values each range of durations has, from the first range with
// values to the last; each range is twice as long as the one before.
func (h *Histogram) WriteBars(w io.Writer) error {
	type bucket struct {
		until time.Duration
		count int64
	}
	h.mu.Lock()
	var buckets []bucket
	until := 125 * time.Microsecond
	var most, now int64
	for _, bar := range h.hdr.Distribution() {
		if bar.Count == 0 {
			continue
		}
		for time.Duration(bar.From)*time.Microsecond >= until {
			if now > 0 || len(buckets) > 0 {
				buckets = append(buckets, bucket{until, now})
			}
			until, now = 2*until, 0
		}
		now += bar.Count
		most = max(most, now)
	}
	h.mu.Unlock()
	if now > 0 {
		buckets = append(buckets, bucket{until, now})
	}
	for _, b := range buckets {
		_, err := fmt.Fprintf(w, "< %9v  %8d  %s\n", b.until, b.count, strings.Repeat("#", int((b.count*width+most-1)/most)))
		if err != nil {
			return err
		}
	}
	return nil
}
