package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Cause classifies why a connection to the broker ended. It is decided once, when the
// connection ends: first by the reason that the broker sent, then by the packets in flight,
// and last by timing. Its text is stable, so that it can be a metric label.
type Cause string

// The causes.
const (
	// CausePublish means that the broker ended the connection over one of our messages instead
	// of acknowledging it. On the next connection the message is sent alone, to find out
	// whether it is the reason.
	CausePublish Cause = "publish"
	// CauseSubscribe means that the broker ended the connection over a SUBSCRIBE. Its filters
	// are requested one by one on the next connections.
	CauseSubscribe Cause = "subscribe"
	// CauseTakenOver means that another client uses our client id: the broker reported it, or
	// it closed several connections in a row soon after they opened, and no message of ours
	// was the reason: none was in flight, or those in flight were acknowledged soon
	// afterwards.
	CauseTakenOver Cause = "taken-over"
	// CauseBackPressure means that the broker gave up on a write, because we did not read
	// while the queue of messages to handle was full.
	CauseBackPressure Cause = "back-pressure"
	// CauseShutdown means that the broker is stopping or busy, or that its operator ended the
	// connection.
	CauseShutdown Cause = "shutdown"
	// CauseMoved means that the broker asks the client to use another server.
	CauseMoved Cause = "moved"
	// CauseLimits means that the client disconnected, because messages of an outbox exceed the
	// limits that this broker announced; another address of the list may accept them.
	CauseLimits Cause = "limits"
	// CauseQuota means that a rate or quota of the broker was exceeded.
	CauseQuota Cause = "quota"
	// CauseKeepAlive means that one side did not receive an answer in time.
	CauseKeepAlive Cause = "keep-alive"
	// CauseProtocol means a packet that violates the protocol: one of the broker, or one of
	// ours according to the broker.
	CauseProtocol Cause = "protocol"
	// CauseClosed means that the broker, or a proxy in between, closed the connection without
	// a reason, and no message of ours was the reason.
	CauseClosed Cause = "closed"
	// CauseNetwork means that the connection was reset, timed out or unreachable.
	CauseNetwork Cause = "network"
)

// LossError describes why one connection ended. errors.As finds it in the error of a call that
// failed because of the loss, in the error of [DisconnectInfo], and in [Health]. Its text is
// the same in all of them and in the log.
type LossError struct {
	// ClientID is the client id of the connection.
	ClientID string
	// Address is the broker's URL, without user information.
	Address string
	// At is the time when the connection ended.
	At time.Time
	// Cause classifies the reason.
	Cause Cause
	// Code is the reason code that the broker sent, MQTT 5 only; 0 if there is none.
	Code byte
	// Topic is the topic of the first suspected message of [CausePublish], or the first
	// suspected filter of [CauseSubscribe]; empty for other causes.
	Topic string
	// Suspects is the number of messages or filters that may be the reason.
	Suspects int
	// Contested is set when messages were in flight but are not the reason: several
	// connections were lost soon after their CONNACK, and each time the messages in flight
	// were acknowledged soon afterwards. Either the network is unstable, or another client
	// uses the client id.
	Contested bool
	// Err is the error that ended the connection: the DISCONNECT of the broker, or the socket
	// error.
	Err error
}

// Error returns one line without secrets.
func (l *LossError) Error() string {
	var b strings.Builder
	b.WriteString("connection lost: ")
	switch {
	case l.Cause == CauseTakenOver:
		fmt.Fprintf(&b, "another client uses the client id %q: %s", l.ClientID, ownID)
	case l.Contested:
		fmt.Fprintf(&b, "%s; if another client uses the client id %q, %s", l.Cause.phrase(), l.ClientID, ownID)
	case l.Topic == "":
		b.WriteString(l.Cause.phrase())
	default:
		fmt.Fprintf(&b, "%s %q", l.Cause.phrase(), l.Topic)
		if l.Suspects > 1 {
			fmt.Fprintf(&b, " or another of %d in flight", l.Suspects)
		}
	}
	if l.Err != nil {
		fmt.Fprintf(&b, ": %v", l.Err)
	}
	return b.String()
}

// ownID is the advice for instances that use the same client id.
const ownID = "give each instance a client_id of its own, for example one with its host name"

// Unwrap returns the error that ended the connection.
func (l *LossError) Unwrap() error { return l.Err }

// CauseOf returns the cause of the first [LossError] in err's chain, or "".
func CauseOf(err error) Cause {
	if l, ok := errors.AsType[*LossError](err); ok {
		return l.Cause
	}
	return ""
}

// phrase returns the cause in words, for the log.
func (c Cause) phrase() string {
	switch c {
	case CausePublish:
		return "the broker ended it over a publish to"
	case CauseSubscribe:
		return "the broker ended it over a subscription to"
	case CauseTakenOver:
		return "another client uses the client id"
	case CauseBackPressure:
		return "the broker gave up while the queue of messages was full"
	case CauseShutdown:
		return "the broker ended it for reasons of its own"
	case CauseMoved:
		return "the broker names another server"
	case CauseLimits:
		return "left for another address"
	case CauseQuota:
		return "a limit of the broker"
	case CauseKeepAlive:
		return "no sign of life in time"
	case CauseProtocol:
		return "a breach of the protocol"
	case CauseClosed:
		return "closed by the broker"
	}
	return "the network"
}
