// Package dedup makes the effects of a message happen once within a window,
// although MQTT may deliver it again. A message is known by its id.
//
// [NewMemory] remembers in this process; package dedupsql remembers in a table,
// in the same transaction as the effect, which is the only form that holds
// across a crash.
package dedup

import "context"

// Window remembers ids for a while. Safe for concurrent use.
//
// The ids that a subscriber hands to it begin with their origin, up to the first slash
// or colon: a hash of the levels of the topic that access rules guard, as those of a
// letter's origin (package deadletter), or, of ids that span topics, the subscription.
// A window that cannot remember all ids should not let those of one origin crowd out
// the others.
type Window interface {
	// Once runs effect unless id is remembered, and remembers id when effect
	// returned nil. It reports whether id was remembered, in which case effect
	// did not run; its error is that of effect or of the window, and then id is
	// not remembered and the message is to be delivered again. Of two calls
	// with one id at the same time, the second does not wait for the first: its
	// error is [ErrRunning]. A window of SQL runs effect with its transaction in the context (package
	// sqltx), and both commit together.
	Once(ctx context.Context, id string, effect func(context.Context) error) (duplicate bool, err error)
}
