package outbox

import (
	"sync"
	"sync/atomic"
)

// Claimer is a [Store] that knows whether a relay of this process works on it. A
// relay sends only while it has the claim; another one stands by meanwhile, and
// looks again every PollInterval. Of a store without it each relay would send all
// that is in it.
type Claimer interface {
	// Claim returns ok when no other relay has the claim, and release, which may be
	// called more than once, gives it back. It does not wait.
	Claim() (release func(), ok bool)
}

// OneRelay is a [Claimer] for a store to embed. The zero value is free, and it is
// safe for concurrent use.
type OneRelay struct{ taken atomic.Bool }

// Claim implements [Claimer].
func (o *OneRelay) Claim() (release func(), ok bool) {
	if !o.taken.CompareAndSwap(false, true) {
		return nil, false
	}
	return sync.OnceFunc(func() { o.taken.Store(false) }), true
}
