package deadletter

import (
	"context"
	"time"
)

// Claimer is an optional part of a [Store] that several processes or goroutines work on at the
// same time: only the holder of a claim replays the letter. All methods are safe for
// concurrent use.
type Claimer interface {
	// Claim claims a letter for the duration d, after which others may claim it, so a crashed
	// process blocks no letter. It returns false if another caller holds the claim, or if the
	// letter does not exist. Every Put and Delete of the letter ends the claim.
	Claim(ctx context.Context, id string, d time.Duration) (bool, error)
	// Release ends a claim early. It is not an error if there is none.
	Release(ctx context.Context, id string) error
}

const (
	// claimFor is how long a letter is claimed. workFor is the time limit for the work on it,
	// which therefore ends before another process can claim the letter.
	claimFor = time.Minute
	workFor  = 45 * time.Second
	// releaseTimeout limits the release of a claim whose work failed.
	releaseTimeout = 5 * time.Second
)

// WithClaim claims the letter and calls f, whose context ends after 45 s. It reports whether f
// was called; if the store is not a [Claimer], f is always called. If f fails, the claim is
// released. If f returns nil, the claim is kept, because the letter was then deleted or
// replaced.
func WithClaim(ctx context.Context, store Store, id string, f func(ctx context.Context) error) (called bool, err error) {
	claimer, ok := store.(Claimer)
	if !ok {
		return true, f(ctx)
	}
	if ok, err := claimer.Claim(ctx, id, claimFor); err != nil || !ok {
		return false, err
	}
	done := false
	defer func() {
		if !done {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), releaseTimeout)
			defer cancel()
			_ = claimer.Release(ctx, id) // if this fails, the claim expires
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, workFor)
	defer cancel()
	err = f(ctx)
	done = err == nil
	return true, err
}
