package event

import "github.com/kratos-mqtt/kratos-mqtt/event/message"

// ArrivalHook is called with each received message, before the first attempt of its handler:
// once for each subscription that takes it, also if the message only waits behind a parked one.
// It is called on the worker of the handler, which starts after it returns; the message is not
// acknowledged before that.
//
// A message that no subscription matches is reported without a filter, and again if a
// subscription is registered for it later. Nothing waits for that call, which is left out while
// the queue is full. The hook is not called for retained messages that their subscription
// ignores, for replies to requests, and for parked messages that are handled again.
//
// A hook that looks at messages only at times implements [PayloadSwitch], too.
type ArrivalHook interface{ OnArrival(info ArrivalInfo) }

// ArrivalInfo is a message that arrived.
type ArrivalInfo struct {
	// Delivery describes it. Attempt is 0.
	Delivery
	// Message is the message as received, not decoded. Its slices are valid during the call only
	// and must not be changed. Retain is set on a message that the broker kept. The payload is
	// nil if it exceeds a limit.
	Message message.Message
	// Duplicate is set if the broker may have delivered the message before (DUP).
	Duplicate bool
	// ID is the id in its user properties, MQTT 5 only, or "". An id in the payload is not read.
	ID string
}

// PayloadSwitch is implemented by hooks that need payloads only at times, such as a page with
// live messages that nobody has opened. WantsPayloads is called for each message, concurrently,
// and should be no more than an atomic load.
//
// While it returns false, an [ArrivalHook] is not called; without a switch it always is. While it
// returns true, [PublishInfo].Message is set for all hooks; without a switch it is nil.
type PayloadSwitch interface{ WantsPayloads() bool }
