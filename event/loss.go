package event

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// LossKind classifies why a connection to the broker ended. It is decided once, when the
// connection ends: first by the reason code that the broker sent, then by the packets in
// flight, and last by timing. Its text is stable, so that it can be a metric label.
type LossKind string

// The kinds of losses.
const (
	// LossPublish means that the broker ended the connection over one of our messages instead
	// of acknowledging it. On the next connection the message is sent alone, to find out
	// whether it is the reason.
	LossPublish LossKind = "publish"
	// LossSubscribe means that the broker ended the connection over a SUBSCRIBE. Its filters
	// are requested one by one on the next connections.
	LossSubscribe LossKind = "subscribe"
	// LossTakenOver means that another client uses our client id: the broker reported it, or
	// it closed several connections in a row soon after they opened, and no message of ours
	// was the reason: none was in flight, or those in flight were acknowledged soon
	// afterwards.
	LossTakenOver LossKind = "taken-over"
	// LossBackPressure means that the broker gave up on a write, because we did not read
	// while the queue of messages to handle was full.
	LossBackPressure LossKind = "back-pressure"
	// LossShutdown means that the broker is stopping or busy, or that its operator ended the
	// connection.
	LossShutdown LossKind = "shutdown"
	// LossMoved means that the broker asks the client to use another server.
	LossMoved LossKind = "moved"
	// LossLimits means that the client disconnected, because messages of an outbox exceed the
	// limits that this broker announced; another address of the list may accept them.
	LossLimits LossKind = "limits"
	// LossQuota means that a rate or quota of the broker was exceeded.
	LossQuota LossKind = "quota"
	// LossKeepAlive means that one side did not receive an answer in time.
	LossKeepAlive LossKind = "keep-alive"
	// LossAuthentication means that enhanced authentication failed on the open connection: the
	// broker did not accept the new credentials, or did not answer (MQTT 5).
	LossAuthentication LossKind = "authentication"
	// LossProtocol means a packet that violates the protocol: one of the broker, or one of
	// ours according to the broker.
	LossProtocol LossKind = "protocol"
	// LossClosed means that the broker, or a proxy in between, closed the connection without
	// a reason, and no message of ours was the reason.
	LossClosed LossKind = "closed"
	// LossNetwork means that the connection was reset, timed out or unreachable.
	LossNetwork LossKind = "network"
)

// LossError describes why one connection ended. errors.As finds it in the error of a call that
// failed because of the loss, in the error of [ConnectionLostInfo], and in [Health]. Its text is
// the same in all of them and in the log.
type LossError struct {
	// ClientID is the client id of the connection.
	ClientID string
	// Address is the broker's URL, without user information.
	Address string
	// At is the time when the connection ended.
	At time.Time
	// Kind classifies the loss.
	Kind LossKind
	// Code is the reason code that the broker sent, MQTT 5 only; 0 if there is none.
	Code byte
	// Topic is the topic of the first suspected message of [LossPublish], or the first
	// suspected filter of [LossSubscribe]; empty for other kinds.
	Topic string
	// Suspects is the number of messages or filters that may be the reason.
	Suspects int
	// Contested is set when messages were in flight but are not the reason: several
	// connections were lost soon after their CONNACK, and each time the messages in flight
	// were acknowledged soon afterwards. Either the network is unstable, or another client
	// uses the client id.
	Contested bool
	// Cause is the error that ended the connection: the DISCONNECT of the broker, or the socket
	// error.
	Cause error
}

// Error returns one line without secrets.
func (l *LossError) Error() string {
	var b strings.Builder
	b.WriteString("connection lost: ")
	switch {
	case l.Kind == LossTakenOver:
		fmt.Fprintf(&b, "another client uses the client id %q: %s", l.ClientID, ownID)
	case l.Contested:
		fmt.Fprintf(&b, "%s; if another client uses the client id %q, %s", l.Kind.phrase(), l.ClientID, ownID)
	case l.Topic == "":
		b.WriteString(l.Kind.phrase())
	default:
		fmt.Fprintf(&b, "%s %q", l.Kind.phrase(), l.Topic)
		if l.Suspects > 1 {
			fmt.Fprintf(&b, " or another of %d in flight", l.Suspects)
		}
	}
	if l.Cause != nil {
		fmt.Fprintf(&b, ": %v", l.Cause)
	}
	return b.String()
}

// ownID is the advice for instances that use the same client id.
const ownID = `each replica needs its own: set client_id to "{service}-{ordinal}" in a StatefulSet, to "{service}-{hostname}" elsewhere, or to nothing if the broker is to keep no session`

// Unwrap returns the error that ended the connection.
func (l *LossError) Unwrap() error { return l.Cause }

// LossKindOf returns the kind of the first [LossError] in err's chain, or "".
func LossKindOf(err error) LossKind {
	if l, ok := errors.AsType[*LossError](err); ok {
		return l.Kind
	}
	return ""
}

// phrase returns the kind in words, for the log.
func (k LossKind) phrase() string {
	switch k {
	case LossPublish:
		return "the broker ended it over a publish to"
	case LossSubscribe:
		return "the broker ended it over a subscription to"
	case LossTakenOver:
		return "another client uses the client id"
	case LossBackPressure:
		return "the broker gave up while the queue of messages was full"
	case LossShutdown:
		return "the broker ended it for reasons of its own"
	case LossMoved:
		return "the broker names another server"
	case LossLimits:
		return "left for another address"
	case LossQuota:
		return "a limit of the broker"
	case LossKeepAlive:
		return "no sign of life in time"
	case LossAuthentication:
		return "authentication failed"
	case LossProtocol:
		return "a breach of the protocol"
	case LossClosed:
		return "closed by the broker"
	}
	return "the network"
}
