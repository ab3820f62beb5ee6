package event

import "context"

// SubscriptionState is the state of the subscriptions of a server or broker at the MQTT broker.
type SubscriptionState struct {
	// Session is the number of the broker session that holds them. It increases whenever the
	// broker had lost the session; messages published in the meantime were not delivered. 0
	// means that there was no session yet.
	Session uint64
	// Granted is set while connected with every filter granted in that session. A lost connection,
	// a refused filter and Stop reset it.
	Granted bool
}

// Subscriptions are those of a Server of transport/mqtt, or of a Broker of broker/mqtt. The
// gate of an outbox watches them. All methods are safe for concurrent use.
type Subscriptions interface {
	// SubscriptionState returns the current state without blocking. An outbox calls it before it sends,
	// and again after the broker has acknowledged.
	SubscriptionState() SubscriptionState
	// WatchSubscriptions calls f with the current state, and then after each change, until stop is
	// called. Calls are made one at a time, in order, on a separate goroutine. f may block,
	// call stop, and call WatchSubscriptions. Changes that happen while f runs are not queued: the
	// next call passes the latest state, and there is no call if that equals the state passed
	// last. SubscriptionState may therefore be ahead of f. stop does not wait for a running call; no
	// call starts after it. A panic of f is logged, and f is called for the next change.
	WatchSubscriptions(f func(SubscriptionState)) (stop func())
	// ConfirmSubscriptions returns nil once the broker has answered a packet that was sent after the
	// call, on each connection that subscribes. This detects a connection that seems to be up
	// but whose broker is gone. It returns an error if ctx ends before.
	ConfirmSubscriptions(ctx context.Context) error
	// Subscribes reports whether a subscription matches a topic name.
	Subscribes(topic string) bool
}
