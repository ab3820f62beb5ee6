package faultmatrix_test

import (
	"fmt"
	"slices"
	"time"
)

// spread is a list of measured times.
type spread []time.Duration

// at returns the time that the given share of the values does not exceed.
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

// slack is the tolerance for a busy machine.
const slack = 3 * time.Second
