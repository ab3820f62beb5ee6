package outbox

import (
	"sync"
	"sync/atomic"
)

// Claimer is a [Store] that knows whether a relay of this process works on it. A
// [Relay] sends only while it has the claim; another one stands by meanwhile, and
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

// claim takes the store for this relay, and reports whether it has it.
func (r *Relay) claim() bool {
	if r.release != nil {
		return true
	}
	c, ok := r.store.(Claimer)
	if !ok {
		r.release = func() {}
		return true
	}
	if r.release, ok = c.Claim(); !ok && !r.toldTaken && r.o.Observe.Taken != nil {
		r.o.Observe.Taken()
	}
	r.toldTaken = !ok
	return ok
}

// unclaim gives the store to another relay of this process.
func (r *Relay) unclaim() {
	if r.release != nil {
		r.release()
		r.release = nil
	}
}
