package event

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/status"
)

// Reason classifies why an operation failed. Its text is stable: it is the reason of the
// Kratos error that an [Error] converts to, and a metric label.
type Reason string

// The reasons of an [Error], with the HTTP status code that Kratos reports for each.
const (
	ReasonNotConnected  Reason = "NOT_CONNECTED"  // 503: no connection within the timeout
	ReasonClosed        Reason = "CLOSED"         // 503: the client was stopped
	ReasonSessionLost   Reason = "SESSION_LOST"   // 503: the broker lost the session of an unfinished exchange
	ReasonTakenOver     Reason = "TAKEN_OVER"     // 503: another client uses our client id
	ReasonNetwork       Reason = "NETWORK"        // 503: dial, TLS or socket failure
	ReasonTimeout       Reason = "TIMEOUT"        // 504: no acknowledgement in time
	ReasonCanceled      Reason = "CANCELED"       // 499: the context of the caller was canceled
	ReasonNotAuthorized Reason = "NOT_AUTHORIZED" // 403: credentials or access rules forbid it
	ReasonQuota         Reason = "QUOTA_EXCEEDED" // 429: a limit of the broker is exceeded
	ReasonTooLarge      Reason = "TOO_LARGE"      // 413: payload or packet over a limit
	ReasonBadTopic      Reason = "BAD_TOPIC"      // 400: topic name or filter breaks a rule
	ReasonBadRequest    Reason = "BAD_REQUEST"    // 400: an argument or option of the call is invalid
	ReasonCodec         Reason = "CODEC"          // 400: the message cannot be encoded or decoded
	ReasonRefused       Reason = "REFUSED"        // 502: the broker refused for another or no reason
	ReasonUnsupported   Reason = "UNSUPPORTED"    // 501: broker or protocol version cannot do it
	ReasonOutboxFull    Reason = "OUTBOX_FULL"    // 503: the outbox is full; try again later
	ReasonOutboxFailed  Reason = "OUTBOX_FAILED"  // 503: the outbox could not store the message
)

// Error is the error type of the MQTT packages; errors.As finds it in every error that they
// return. Kratos' FromError converts it to the matching Kratos error, and gRPC to the matching
// status, so a handler may return it unchanged. The cause is not sent to the caller, because
// it may contain host names.
type Error struct {
	// Op is the operation: publish, subscribe or connect.
	Op string
	// Topic is the topic name or filter; empty for a connection.
	Topic string
	// Reason classifies the failure.
	Reason Reason
	// MayHaveBeenSent is set when a failed publish may still reach subscribers, so that
	// publishing it again may duplicate it.
	MayHaveBeenSent bool
	// Convicted is set when the broker ended every connection on which this message, or this
	// filter, was sent alone, so that it would end the next connection too. An outbox
	// quarantines the message at once. With RetryAfter it is about earlier messages to the
	// same topic: this one was not sent, and an outbox keeps it and tries again.
	Convicted bool
	// RetryAfter is the time until a message like this one may be sent again. It is set, and
	// the message was not sent, after the broker ended connections over similar messages:
	// several in a row with the same topic, QoS and retain flag (Convicted is set as well), or
	// messages to three topics that differ from this one in a single level. The first pause is
	// one second, the longest one minute; an acknowledged message ends it. Otherwise 0.
	RetryAfter time.Duration
	// ByBroker is set when the limit or verdict comes from the broker: announced in its
	// CONNACK, or sent for this message. Another broker address, or the same broker with other
	// settings, may accept the message, so an outbox keeps it. If it is not set, errors such
	// as TOO_LARGE and BAD_TOPIC are caused by limits of this module, which are the same for
	// every broker.
	ByBroker bool
	// Cause is the underlying error, or nil. After a lost connection it contains a
	// [LossError].
	Cause error
}

// maxTopicShown is the number of characters of a topic that an error shows.
const maxTopicShown = 128

// Error returns one line without secrets, with at most 128 characters of the topic.
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
	if e.RetryAfter > 0 {
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

// Code returns the HTTP status code that Kratos reports for the error.
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

// Status returns what callers over HTTP and gRPC receive: [Error.Code], the reason, and a
// message without the topic and the cause. A [ParameterError] is an exception, because it is
// about a value that the caller sent: it is part of the message, and its field, character and
// rule are in the metadata. The metadata entries may_have_been_sent and by_broker are "true"
// if the fields are set.
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

// GRPCStatus lets a gRPC server send [Error.Status]; see [StatusError.GRPCStatus].
func (e *Error) GRPCStatus() *status.Status { return e.Status().GRPCStatus() }

// Is lets errors.Is find the error by a Kratos error of any version with its code and
// reason.
func (e *Error) Is(target error) bool { return isKratos(target, e.Code(), string(e.Reason)) }

// As lets errors.As find [Error.Status], also as a Kratos error of any version.
func (e *Error) As(target any) bool {
	if t, ok := target.(**StatusError); ok {
		*t = e.Status()
		return true
	}
	return wantsStatus(target) && e.Status().As(target)
}

// parameter returns the error about a value that the caller sent and may therefore see, or
// nil.
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
