package program

import (
	"errors"
	"time"
)

// pollEvery is the pause between two checks of a condition.
const pollEvery = 5 * time.Millisecond

// Poll calls f until it returns nil, at least twice, and returns its last error when the time
// is over.
func Poll(timeout time.Duration, f func() error) error {
	deadline := time.Now().Add(timeout)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		late := time.Now().After(deadline)
		err := f()
		if _, stop := errors.AsType[StopPollingError](err); err == nil || late || stop {
			return err
		}
		<-tick.C
	}
}

// StopPollingError ends [Poll] early.
type StopPollingError struct {
	// Err is what Poll returns, wrapped.
	Err error
}

func (s StopPollingError) Error() string { return s.Err.Error() }

func (s StopPollingError) Unwrap() error { return s.Err }
