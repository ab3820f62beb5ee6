package client

import (
	"sync/atomic"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// counts are what a client saw and could not hand to a handler.
type counts struct {
	dropped   atomic.Int64 // QoS 0 beyond the queue
	unmatched atomic.Int64 // no subscription for the topic: dropped
	kept      atomic.Int64 // the same: kept for one
	// unmatchedLetters found none in time and are dead letters.
	unmatchedLetters atomic.Int64
	illFormed        atomic.Int64 // QoS 0 with ill-formed text
	forgotten        atomic.Int64 // sessions of the subscriber that the broker lost
	headless         atomic.Int64 // went out on MQTT 3.1.1 without their properties
	retainedIgnored  atomic.Int64 // kept by the broker, and of no use to the handler
}

// unrouted counts messages that the broker took although no subscription matches them,
// and says so once a minute.
type unrouted struct {
	log  Logger
	line logsafe.PerMinute
	n    atomic.Int64
}

// note counts one message, and has the count reported by later. It may be called on a
// read loop.
func (u *unrouted) note(topic []byte, later func(func())) {
	if n, due := u.n.Add(1), u.line.Due(time.Now()); due {
		name := string(topic)
		later(func() {
			u.log.Warnf("mqtt: the broker has no subscriber for %q, and dropped the message (%d so far; said once a minute)", logsafe.Clip(name), n)
		})
	}
}
