package session

import (
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Event is something worth a log line or a metric. The set grows; consumers
// switch on the types they know.
type Event interface{ event() }

// Connected reports a CONNACK that accepted us.
type Connected struct {
	ClientID       string
	Address        string
	SessionPresent bool
}

// Attached reports a CONNACK that accepted us before anything is sent on the
// connection; Connected follows.
type Attached struct {
	ClientID       string
	SessionPresent bool
}

// ConnectFailed reports an address that did not accept us. RetryIn is 0 when
// the next address of the list follows at once.
type ConnectFailed struct {
	ClientID string
	Address  string
	Err      error
	RetryIn  time.Duration
}

// ConnectionLost reports the end of a connection that we did not ask for.
type ConnectionLost struct {
	Loss    *event.LossError
	Err     error // with the loss as its cause
	RetryIn time.Duration
}

// Forgotten reports that the broker had no session of ours although we expected
// one: messages published while we were away are gone.
type Forgotten struct {
	ClientID string
	// Unfinished counts our publishes that were cut short by it.
	Unfinished int
}

// TakenOver reports the end of a connection that a second client with our
// client id causes.
type TakenOver struct {
	Loss    *event.LossError
	Err     error
	RetryIn time.Duration
}

// ExpiryReduced reports a broker that keeps our session for a shorter time than
// was asked for.
type ExpiryReduced struct {
	ClientID        string
	Wanted, Granted time.Duration
}

// SubscriptionRefused reports a filter that the broker did not grant.
type SubscriptionRefused struct {
	Filter string
	Err    error
}

// SubscriptionLowered reports a filter that the broker granted at a lower QoS than
// was asked for.
type SubscriptionLowered struct {
	Filter         string
	Asked, Granted byte
}

// Err is the event as an error.
func (e SubscriptionLowered) Err() error { return lessError(e.Filter, e.Asked, e.Granted) }

// Subscribed reports that every wanted filter is granted.
type Subscribed struct {
	ClientID string
	Filters  int
}

// NothingWanted reports that no filter is wanted, on a new connection or when the
// last one that was not granted was taken back.
type NothingWanted struct{}

// Closed reports the end of the session object, with what it left undone.
type Closed struct {
	ClientID string
	// Unfinished counts publishes whose outcome is unknown.
	Unfinished int
	// Unacknowledged counts messages that arrived and were not acknowledged.
	Unacknowledged int
}

// CallbackPanicked reports a panic in a callback of the user's: of an
// asynchronous publish, or for credentials or TLS settings.
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
