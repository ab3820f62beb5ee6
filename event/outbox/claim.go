package outbox

import (
	"sync"
	"sync/atomic"
)

// Claimer is an optional part of a [Store] that tracks whether a relay of this process uses
// the store. A relay sends only while it holds the claim; other relays check again every
// PollInterval. Without a Claimer, each relay would send all entries of the store.
type Claimer interface {
	// Claim returns ok if no other relay holds the claim. release ends the claim and may be
	// called more than once. Claim does not block.
	Claim() (release func(), ok bool)
}

// OneRelay implements [Claimer]; stores embed it. The zero value is unclaimed. It is safe for
// concurrent use.
type OneRelay struct{ taken atomic.Bool }

// Claim implements [Claimer].
func (o *OneRelay) Claim() (release func(), ok bool) {
	if !o.taken.CompareAndSwap(false, true) {
		return nil, false
	}
	return sync.OnceFunc(func() { o.taken.Store(false) }), true
}
