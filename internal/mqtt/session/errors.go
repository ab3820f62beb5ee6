package session

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Reason says why an operation failed. Its text is stable: it is part of the
// public error and of metrics.
type Reason string

// The reasons of an [Error].
const (
	ReasonNotConnected  Reason = "NOT_CONNECTED"  // no connection to the broker within the time allowed
	ReasonTimeout       Reason = "TIMEOUT"        // the acknowledgement did not come in time
	ReasonCanceled      Reason = "CANCELED"       // the caller gave up
	ReasonClosed        Reason = "CLOSED"         // the client was stopped
	ReasonSessionLost   Reason = "SESSION_LOST"   // the broker forgot the session of an unfinished exchange
	ReasonRefused       Reason = "REFUSED"        // the broker refused without a better reason
	ReasonNotAuthorized Reason = "NOT_AUTHORIZED" // credentials or access rules
	ReasonQuota         Reason = "QUOTA_EXCEEDED" // the broker's limit was reached
	ReasonTooLarge      Reason = "TOO_LARGE"      // payload or packet over a limit
	ReasonBadTopic      Reason = "BAD_TOPIC"      // topic name or filter breaks a rule
	ReasonBadRequest    Reason = "BAD_REQUEST"    // the call itself is wrong
	ReasonUnsupported   Reason = "UNSUPPORTED"    // the broker or protocol version cannot do it
	ReasonTakenOver     Reason = "TAKEN_OVER"     // another client uses our client id
	ReasonNetwork       Reason = "NETWORK"        // dial, TLS or socket failure
)

// Error is the one error of the engine: what was tried, on what, why it
// failed, and whether the message may arrive all the same.
type Error struct {
	// Op is the operation in field words: publish, subscribe, connect.
	Op string
	// Topic is the topic name or filter; empty for a connection.
	Topic string
	// Reason classifies the failure.
	Reason Reason
	// MayHaveBeenSent is true when a failed publish may still reach
	// subscribers; publishing again may then duplicate it.
	MayHaveBeenSent bool
	// Convicted is set when the broker ended every connection that carried this
	// message, or this filter, alone.
	Convicted bool
	// HeldFor is for how long messages of this kind are refused without being sent,
	// because the broker ended connections over several of them; 0 when this one was
	// tried.
	HeldFor time.Duration
	// ByBroker is set when it is a limit or a verdict of the broker of the present
	// connection: another one may take the message as it is.
	ByBroker bool
	// Cause is the underlying error, or nil.
	Cause error
}

// maxTopic is how many characters of a topic are shown.
const maxTopic = 128

// Error returns one line without any secret.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("mqtt: ")
	b.WriteString(e.Op)
	if e.Topic != "" {
		fmt.Fprintf(&b, " %.*q", maxTopic, e.Topic)
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

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// ReasonOf returns the reason of the first [Error] in err's chain, or "".
func ReasonOf(err error) Reason {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Reason
	}
	return ""
}

// CodeError is a reason code of the broker that means failure.
type CodeError struct {
	// Packet is the packet that carried it: CONNACK, SUBACK, PUBACK...
	Packet string
	// Code is the code on the wire.
	Code byte
	// Name is the specification's name of the code.
	Name string
	// Detail is the broker's reason string (MQTT 5), or empty.
	Detail string
}

// Error names packet and code, e.g. "SUBACK 0x80: unspecified error".
func (e *CodeError) Error() string {
	s := fmt.Sprintf("%s 0x%02X: %s", e.Packet, e.Code, e.Name)
	if e.Detail != "" {
		s += fmt.Sprintf(" (%.*q)", maxDetail, e.Detail)
	}
	return s
}

// maxDetail is how many characters of a broker's reason string are shown.
const maxDetail = 256

// reasonOfCode sorts the reason codes of MQTT 5 that a caller can act upon.
func reasonOfCode(code byte) Reason {
	switch code {
	case 0x86, 0x87, 0x8A, 0x8C:
		return ReasonNotAuthorized
	case 0x8E:
		return ReasonTakenOver
	case 0x8F, 0x90:
		return ReasonBadTopic
	case 0x95:
		return ReasonTooLarge
	case 0x93, 0x97, 0x9F:
		return ReasonQuota
	case 0x84, 0x9A, 0x9B, 0x9E, 0xA1, 0xA2:
		return ReasonUnsupported
	default:
		return ReasonRefused
	}
}

// reasonOfConnack adds the five return codes of MQTT 3.1.1.
func reasonOfConnack(code byte) Reason {
	switch code {
	case 0x01:
		return ReasonUnsupported
	case 0x02:
		return ReasonBadRequest
	case 0x04, 0x05:
		return ReasonNotAuthorized
	case 0x03, 0x88, 0x89:
		return ReasonNotConnected
	case 0x85:
		return ReasonBadRequest
	}
	return reasonOfCode(code)
}

// GrantedLessError is the cause of an error about a filter that works, at a lower QoS
// than was asked for.
type GrantedLessError struct{ Asked, Granted byte }

// Error names both levels.
func (e *GrantedLessError) Error() string {
	return fmt.Sprintf("granted at QoS %d, asked for %d", e.Granted, e.Asked)
}

func lessError(filter string, asked, granted byte) error {
	return &Error{Op: opSubscribe, Topic: filter, Reason: ReasonUnsupported, Cause: &GrantedLessError{asked, granted}}
}
