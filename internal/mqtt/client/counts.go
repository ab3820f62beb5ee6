package client

import (
	"sync/atomic"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
)

// counts are messages that could not be passed to a handler, and other events.
type counts struct {
	dropped   atomic.Int64 // QoS 0, the queue was full
	unmatched atomic.Int64 // no subscription for the topic: dropped
	kept      atomic.Int64 // no subscription for the topic: kept for one
	// unmatchedLetters became dead letters because no subscription matched in time.
	unmatchedLetters atomic.Int64
	illFormed        atomic.Int64 // QoS 0 with ill-formed text
	forgotten        atomic.Int64 // sessions of the subscriber that the broker lost
	headless         atomic.Int64 // sent on MQTT 3.1.1 without their properties
	breakersOpened   atomic.Int64
	late             atomic.Int64 // calls of handlers that passed their deadline and still run
	retainedIgnored  atomic.Int64 // retained messages that the subscription ignores
}

// unrouted counts messages that the broker acknowledged although it has no subscriber for
// them, and logs that once a minute.
type unrouted struct {
	log logsafe.Log
	n   atomic.Int64
}

// note counts one message and passes the logging to later. It may be called on a read loop.
func (u *unrouted) note(topic []byte, later func(func())) {
	u.n.Add(1)
	u.log.Seldom("unrouted", func(more []any) {
		name := string(topic)
		later(func() {
			u.log.Warn("mqtt: the broker has no subscriber for a message, and dropped it",
				append(more, logsafe.KeyTopic, name, logsafe.KeyTotal, u.n.Load())...)
		})
	})
}
