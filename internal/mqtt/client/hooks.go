package client

import "github.com/kratos-mqtt/kratos-mqtt/event"

// Hooks are told what happens. Each may be nil, which costs nothing. They are
// called concurrently, never on a read loop, and must not block for long; a
// panic is logged.
type Hooks struct {
	// Handled is told of each attempt of a handler, on its worker.
	Handled func(event.HandleInfo)
	// Retrying is told when another attempt follows after a pause.
	Retrying func(event.RetryInfo)
	// DeadLettered is told of each dead letter that its store has.
	DeadLettered func(event.DeadLetterInfo)
	// Parked is told of each message that its store has for later.
	Parked func(event.ParkInfo)
	// Duplicate is told of each message whose id was handled before.
	Duplicate func(event.DuplicateInfo)
	// Held is told once a minute of each of the keys that most messages wait for, ten
	// at most.
	Held func(event.HeldKey)
	// Connected is told of each attempt to connect.
	Connected func(event.ConnectInfo)
	// Disconnected is told of each loss of a connection.
	Disconnected func(event.DisconnectInfo)
	// SessionLost is told of each session that the broker had lost.
	SessionLost func(event.SessionLostInfo)
	// Subscribed is told what the broker answered to SUBSCRIBE.
	Subscribed func(event.SubscribeInfo)
	// Dropped is told of messages that reached no handler, many at once.
	Dropped func(event.DropInfo)
}

// tellOf calls a hook, if there is one.
func tellOf[I any](c *callbacks, hook func(I), info I) {
	if hook != nil {
		c.call(func() { hook(info) })
	}
}
