package faultmatrix_test

import (
	"fmt"
	"slices"
	"time"
)

// spread are measured times.
type spread []time.Duration

// at gives the time that a share of them does not pass.
func (s spread) at(share float64) time.Duration {
	if len(s) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(s))
	return sorted[min(len(sorted)-1, int(share*float64(len(sorted))))]
}

func (s spread) String() string {
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	return fmt.Sprintf("p50 %v p99 %v max %v of %d", ms(s.at(0.5)), ms(s.at(0.99)), ms(s.at(1)), len(s))
}

// slack is what a busy machine may add to a bound.
const slack = 3 * time.Second
