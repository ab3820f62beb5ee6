package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Cause says in one word why a connection to the broker ended. It is decided
// once, where the connection ends: by what the broker said, then by what was in
// flight and which packet was sent, and only last by timing. Its text is stable:
// it is a metric label.
type Cause string

// The causes.
const (
	// CausePublish is a message of ours that the broker does not take: it ended
	// the connection instead of acknowledging it. The message is sent alone on
	// the next connection, to convict it or to clear it.
	CausePublish Cause = "publish"
	// CauseSubscribe is a SUBSCRIBE that the broker does not take. Its filters
	// are asked for one by one on the next connections.
	CauseSubscribe Cause = "subscribe"
	// CauseTakenOver is another client with our client id: the broker said so,
	// or it ended several connections in a row at once and in order, with nothing
	// of ours to blame: nothing was on its way, or what was, was taken a moment later.
	CauseTakenOver Cause = "taken-over"
	// CauseBackPressure is a broker that gave up on a write while we did not
	// read, because the queue of messages to handle was full.
	CauseBackPressure Cause = "back-pressure"
	// CauseShutdown is a broker that stops, is busy, or was told by its operator
	// to end the connection.
	CauseShutdown Cause = "shutdown"
	// CauseMoved is a broker that wants us to use another server.
	CauseMoved Cause = "moved"
	// CauseLimits is our own decision: messages of an outbox are over what this broker
	// announced to take, and another address of the list may take them.
	CauseLimits Cause = "limits"
	// CauseQuota is a rate or quota of the broker that was exceeded.
	CauseQuota Cause = "quota"
	// CauseKeepAlive is a peer that did not answer in time, on either side.
	CauseKeepAlive Cause = "keep-alive"
	// CauseProtocol is a packet that breaks the protocol, of the broker or, as
	// the broker says, of ours.
	CauseProtocol Cause = "protocol"
	// CauseClosed is a broker, or something between, that closed the connection
	// in order and said nothing, with nothing of ours to blame.
	CauseClosed Cause = "closed"
	// CauseNetwork is a connection that broke: reset, timed out, unreachable.
	CauseNetwork Cause = "network"
)

// LossError is why one connection ended. errors.As finds it in the error of a call
// that the loss failed, in that of [DisconnectInfo] and in [Health]; its text is
// the same everywhere, and in the log.
type LossError struct {
	// ClientID tells the subscriber's connection from the publisher's.
	ClientID string
	// Address is the broker's URL, without user information.
	Address string
	// At is when the connection ended.
	At time.Time
	// Cause is the verdict.
	Cause Cause
	// Code is the broker's reason code, MQTT 5; 0 is none.
	Code byte
	// Topic is the topic or filter of the first suspect of [CausePublish] and
	// [CauseSubscribe]; empty for other causes.
	Topic string
	// Suspects counts the messages or filters that may be to blame.
	Suspects int
	// Contested is set when messages were in flight and are not to blame: those of
	// several losses before, each soon after its CONNACK, were all acknowledged a
	// moment later. The network is cut, or another client uses the client id.
	Contested bool
	// Err is what ended the connection: the broker's DISCONNECT, or the error of
	// the socket.
	Err error
}

// Error returns one line without any secret.
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

// ownID is what is wanted of instances that fight over a session.
const ownID = "give each instance a client_id of its own, for example one with its host name"

// Unwrap returns what ended the connection.
func (l *LossError) Unwrap() error { return l.Err }

// CauseOf returns the cause of the first [LossError] in err's chain, or "".
func CauseOf(err error) Cause {
	if l, ok := errors.AsType[*LossError](err); ok {
		return l.Cause
	}
	return ""
}

// phrase is the cause in words for a line of a log.
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
