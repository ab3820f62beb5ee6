// Package dedup lets the effects of a message happen once within a time window, although MQTT
// may deliver it more than once. A message is recognised by its id.
//
// [NewMemory] remembers ids in this process. Package dedupsql remembers them in a table, in
// the same transaction as the effect; only this holds across a crash.
package dedup

import "context"

// Window remembers ids for a while. It is safe for concurrent use.
//
// The ids that a subscriber passes start with their origin, up to the first slash or colon. It
// is a hash of the levels of the topic that access rules can protect, like the origin of a
// dead letter (package deadletter), or of the subscription if ids span topics. A window that
// cannot remember all ids should not let the ids of one origin displace those of others.
type Window interface {
	// Once runs effect unless id is remembered, and remembers id if effect returns nil. It
	// reports whether id was remembered, in which case effect did not run. If effect or the
	// window fails, id is not remembered, and the message is to be delivered again. If another
	// call with the same id is running, Once does not wait and returns [ErrRunning]. An SQL
	// window runs effect with its transaction in the context (package sqltx), and commits both
	// together.
	Once(ctx context.Context, id string, effect func(context.Context) error) (duplicate bool, err error)
}
