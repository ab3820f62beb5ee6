package session

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Event is an event for a log line or a metric. New types may be added;
// consumers switch on the types they know.
type Event interface{ event() }

// Connected reports a CONNACK that accepted the connection.
type Connected struct {
	ClientID       string
	Address        string
	SessionPresent bool
}

// Attached reports a CONNACK that accepted the connection, before anything is
// sent on it. Connected follows.
type Attached struct {
	ClientID       string
	SessionPresent bool
}

// ConnectFailed reports an address at which the connection failed. RetryIn is 0
// if the next address of the list follows immediately.
type ConnectFailed struct {
	ClientID string
	Address  string
	Err      error
	RetryIn  time.Duration
}

// ConnectionLost reports the end of a connection that we did not end.
type ConnectionLost struct {
	Loss    *event.LossError
	Err     error // wraps the loss
	RetryIn time.Duration
}

// Forgotten reports that the broker had no session although one was expected:
// messages published while the client was disconnected are lost.
type Forgotten struct {
	ClientID string
	// Unfinished is the number of publishes that this cut short.
	Unfinished int
}

// TakenOver reports a connection that ended because a second client uses the
// client id.
type TakenOver struct {
	Loss    *event.LossError
	Err     error
	RetryIn time.Duration
}

// ExpiryReduced reports that the broker keeps the session for a shorter time
// than requested.
type ExpiryReduced struct {
	ClientID        string
	Wanted, Granted time.Duration
}

// SubscriptionRefused reports a filter that the broker did not grant.
type SubscriptionRefused struct {
	Filter string
	Err    error
}

// SubscriptionLowered reports a filter that the broker granted at a lower QoS
// than requested.
type SubscriptionLowered struct {
	Filter         string
	Asked, Granted byte
}

// Err returns the event as an error.
func (e SubscriptionLowered) Err() error { return lessError(e.Filter, e.Asked, e.Granted) }

// Subscribed reports that every wanted filter is granted.
type Subscribed struct {
	ClientID string
	Filters  int
}

// NothingWanted reports that no filter is wanted, on a new connection or when
// the last filter that was not granted is removed.
type NothingWanted struct{}

// Closed reports the end of the session, with its unfinished work.
type Closed struct {
	ClientID string
	// Unfinished is the number of publishes whose outcome is unknown.
	Unfinished int
	// Unacknowledged is the number of messages that were received and not
	// acknowledged.
	Unacknowledged int
}

// CallbackPanicked reports a panic in a user's callback: of an asynchronous
// publish, for credentials or for TLS settings.
type CallbackPanicked struct {
	What  string
	Value any
	Stack []byte
}

func (Attached) event()            {}
func (Connected) event()           {}
func (ConnectFailed) event()       {}
func (ConnectionLost) event()      {}
func (Forgotten) event()           {}
func (TakenOver) event()           {}
func (ExpiryReduced) event()       {}
func (SubscriptionRefused) event() {}
func (SubscriptionLowered) event() {}
func (Subscribed) event()          {}
func (NothingWanted) event()       {}
func (Closed) event()              {}
func (CallbackPanicked) event()    {}
