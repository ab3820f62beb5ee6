package deadletter

import (
	"context"
	"time"
)

// Claimer is what a [Store] implements too when several may work on its
// letters: a letter that one has claimed is left alone by the others. All
// methods are safe for concurrent use.
type Claimer interface {
	// Claim takes a letter for a while, after which others may take it: the
	// claim of a process that crashed strands nothing. It reports whether the
	// caller has it now; not so when somebody else has it, or when the letter is
	// not there. Put and Delete of the letter end the claim, whoever calls them.
	Claim(ctx context.Context, id string, d time.Duration) (bool, error)
	// Release ends a claim early; it is no error when there is none.
	Release(ctx context.Context, id string) error
}

const (
	// claimFor is how long a letter is claimed, workFor what may be done with it
	// meanwhile, so that nobody else begins before it has ended.
	claimFor = time.Minute
	workFor  = 45 * time.Second
	// releaseTimeout bounds the release of a letter whose work failed.
	releaseTimeout = 5 * time.Second
)

// WithClaim calls f when the letter can be claimed, within 45 s, and reports
// whether it was called. A store that is no [Claimer] has one that works on it.
// The claim stays when f returned nil, as the letter is deleted or put then,
// and ends otherwise.
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
			_ = claimer.Release(ctx, id) // else it ends by itself
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, workFor)
	defer cancel()
	err = f(ctx)
	done = err == nil
	return true, err
}
