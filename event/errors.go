package event

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/status"
)

// Reason says why an operation failed. Its text is stable: it is the reason of
// the Kratos error that an [Error] converts to, and a metric label.
type Reason string

// The reasons of an [Error], with the Kratos code that each maps to.
const (
	ReasonNotConnected  Reason = "NOT_CONNECTED"  // 503: no connection within the time allowed
	ReasonClosed        Reason = "CLOSED"         // 503: the client was stopped
	ReasonSessionLost   Reason = "SESSION_LOST"   // 503: the broker forgot an unfinished exchange
	ReasonTakenOver     Reason = "TAKEN_OVER"     // 503: another client uses our client id
	ReasonNetwork       Reason = "NETWORK"        // 503: dial, TLS or socket failure
	ReasonTimeout       Reason = "TIMEOUT"        // 504: no acknowledgement in time
	ReasonCanceled      Reason = "CANCELED"       // 499: the caller gave up
	ReasonNotAuthorized Reason = "NOT_AUTHORIZED" // 403: credentials or access rules
	ReasonQuota         Reason = "QUOTA_EXCEEDED" // 429: a limit of the broker
	ReasonTooLarge      Reason = "TOO_LARGE"      // 413: payload or packet over a limit
	ReasonBadTopic      Reason = "BAD_TOPIC"      // 400: topic name or filter breaks a rule
	ReasonBadRequest    Reason = "BAD_REQUEST"    // 400: the call itself is wrong
	ReasonCodec         Reason = "CODEC"          // 400: the message cannot be encoded or decoded
	ReasonRefused       Reason = "REFUSED"        // 502: the broker refused without a better reason
	ReasonUnsupported   Reason = "UNSUPPORTED"    // 501: broker or protocol version cannot do it
	ReasonOutboxFull    Reason = "OUTBOX_FULL"    // 503: the outbox is at its bound; try again later
	ReasonOutboxFailed  Reason = "OUTBOX_FAILED"  // 503: the outbox could not keep the message
)

// Error is the one error of the MQTT packages. errors.As finds it in whatever
// they return. FromError of Kratos turns it into the matching Kratos error, and
// gRPC into the matching status, so that a handler may return it as it is; the
// cause stays on this side then, as it may name hosts that callers need not know.
type Error struct {
	// Op is the operation in field words: publish, subscribe, connect.
	Op string
	// Topic is the topic name or filter; empty for a connection.
	Topic string
	// Reason classifies the failure.
	Reason Reason
	// MayHaveBeenSent is true when a failed publish may still reach
	// subscribers, so that publishing again may duplicate it.
	MayHaveBeenSent bool
	// Convicted is set when the broker ended every connection that carried this
	// message, or this filter, alone: sending it again as it is would end the next
	// one. An outbox puts such an entry aside at once.
	//
	// With HeldFor set it is the verdict on the messages before this one: it was
	// not sent itself, and an outbox keeps the entry as one that is refused.
	Convicted bool
	// HeldFor is set when the message was not sent, because the broker ended
	// connections over several in a row to its topic, at its QoS and with its retain
	// flag, or over messages to three topics that differ from it in one level
	// (Convicted is then not set). It is how long it takes until the next one may
	// go: a second at first, up to a minute, and 0 once one was acknowledged.
	HeldFor time.Duration
	// ByBroker is set when the limit or verdict is one of the broker, announced in its
	// CONNACK or said of this message: another address, or the same broker with
	// other settings, may take the message as it is, and an outbox keeps it. Without
	// it TOO_LARGE, BAD_TOPIC and the like are about limits of ours, which are the same
	// everywhere.
	ByBroker bool
	// Cause is the underlying error, or nil. When a connection was lost it
	// contains a [LossError].
	Cause error
}

// maxTopicShown is how many characters of a topic are shown.
const maxTopicShown = 128

// Error returns one line without any secret, with at most 128 characters of the topic.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("mqtt: ")
	b.WriteString(e.Op)
	if e.Topic != "" {
		fmt.Fprintf(&b, " %.*q", maxTopicShown, e.Topic)
	}
	fmt.Fprintf(&b, ": %s", strings.ReplaceAll(strings.ToLower(string(e.Reason)), "_", " "))
	if e.MayHaveBeenSent {
		b.WriteString(" (may have been sent)")
	}
	if e.Convicted {
		b.WriteString(" (ends every connection)")
	}
	if e.HeldFor > 0 {
		b.WriteString(" (held back)")
	}
	if e.Cause != nil {
		fmt.Fprintf(&b, ": %v", e.Cause)
	}
	return b.String()
}

// ReasonOf returns the reason of the first [Error] in err's chain, or "".
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Code is the HTTP status code that Kratos reports for the error.
func (e *Error) Code() int {
	switch e.Reason {
	case ReasonNotConnected, ReasonClosed, ReasonSessionLost, ReasonTakenOver, ReasonNetwork,
		ReasonOutboxFull, ReasonOutboxFailed:
		return 503
	case ReasonTimeout:
		return 504
	case ReasonCanceled:
		return 499
	case ReasonNotAuthorized:
		return 403
	case ReasonQuota:
		return 429
	case ReasonTooLarge:
		return 413
	case ReasonBadTopic, ReasonBadRequest, ReasonCodec:
		return 400
	case ReasonUnsupported:
		return 501
	case ReasonRefused:
		return 502
	}
	return 500
}

// Status returns what callers of HTTP and gRPC get: [Error.Code], the reason, and a
// message without the topic and the cause, but for a [ParameterError], which is about
// what the caller sent: it is part of the message, and its field, character and rule
// are metadata. may_have_been_sent and by_broker are "true" in the metadata when they
// are set.
func (e *Error) Status() *StatusError {
	s := &StatusError{Code: e.Code(), Reason: string(e.Reason), Message: e.summary(), Metadata: make(map[string]string)}
	if p := e.parameter(); p != nil {
		p.annotate(s.Metadata)
		s.Message += ": " + p.Error()
	}
	if e.MayHaveBeenSent {
		s.Metadata["may_have_been_sent"] = "true"
	}
	if e.ByBroker {
		s.Metadata["by_broker"] = "true"
	}
	return s
}

// GRPCStatus lets a gRPC server send the [Error.Status]; see [StatusError.GRPCStatus].
func (e *Error) GRPCStatus() *status.Status { return e.Status().GRPCStatus() }

// As lets errors.As find the [Error.Status], also as a Kratos error of any version.
func (e *Error) As(target any) bool {
	if t, ok := target.(**StatusError); ok {
		*t = e.Status()
		return true
	}
	return wantsStatus(target) && e.Status().As(target)
}

// parameter is what is wrong with a value that came from the caller, who may know
// it.
func (e *Error) parameter() *ParameterError {
	var p *ParameterError
	if e.Reason == ReasonBadTopic && errors.As(e.Cause, &p) {
		return p
	}
	return nil
}

func (e *Error) summary() string {
	s := "mqtt " + e.Op + " failed: " + strings.ReplaceAll(strings.ToLower(string(e.Reason)), "_", " ")
	if e.MayHaveBeenSent {
		s += ", but may have been sent"
	}
	return s
}
