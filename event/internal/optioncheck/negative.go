// Package optioncheck checks the options of stores.
package optioncheck

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// NotNegative returns an error for each option that is negative, joined, or nil. of is what
// the options belong to.
func NotNegative(of string, numbers map[string]int64, durations map[string]time.Duration) error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(numbers)) {
		if n := numbers[name]; n < 0 {
			errs = append(errs, fmt.Errorf("%s: %s is %d, want 0 (the default) or more", of, name, n))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(durations)) {
		if d := durations[name]; d < 0 {
			errs = append(errs, fmt.Errorf("%s: %s is %v, want 0s (the default) or more", of, name, d))
		}
	}
	return errors.Join(errs...)
}
