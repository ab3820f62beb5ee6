package hook

import "github.com/kratos-mqtt/kratos-mqtt/event"

// Calls are the functions that a client calls when something happens. Each may be nil.
// They are called concurrently, never on a read loop, and must not block for long; a panic
// is logged.
type Calls struct {
	// Arriving reports whether a hook wants the messages that arrive now, and Arrived receives
	// each before its first attempt, on its worker. Both are nil, or none is.
	Arriving func() bool
	Arrived  func(event.ArrivalInfo)
	// Handled receives each attempt of a handler, on its worker.
	Handled func(event.HandleInfo)
	// Retrying is called when another attempt follows after a pause.
	Retrying func(event.RetryInfo)
	// DeadLettered receives each dead letter that its store has.
	DeadLettered func(event.DeadLetterInfo)
	// Parked receives each message that was parked in its store.
	Parked func(event.ParkInfo)
	// Duplicate receives each message whose id was handled before.
	Duplicate func(event.DuplicateInfo)
	// Held receives, once a minute, the keys that most messages wait for, at most ten.
	Held func(event.ParkedKey)
	// Connected receives each attempt to connect.
	Connected func(event.ConnectAttemptInfo)
	// Disconnected receives each loss of a connection.
	Disconnected func(event.ConnectionLostInfo)
	// SessionLost receives each session that the broker had lost.
	SessionLost func(event.SessionLostInfo)
	// Subscribed receives what the broker answered to SUBSCRIBE.
	Subscribed func(event.SubscribeInfo)
	// Paused receives each change of what a subscription handles.
	Paused func(event.SubscriptionPause)
	// Dropped receives the number of messages that reached no handler, many at once.
	Dropped func(event.UnhandledInfo)
}
