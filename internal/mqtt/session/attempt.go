package session

import (
	"errors"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// listError holds the errors of one attempt at several addresses, in their
// order.
type listError struct{ errs []error }

// Error joins the texts of the errors.
func (l *listError) Error() string {
	parts := make([]string, len(l.errs))
	for i, err := range l.errs {
		parts[i] = err.Error()
	}
	return "no address of the list: " + strings.Join(parts, "; ")
}

// Unwrap returns all errors.
func (l *listError) Unwrap() []error { return l.errs }

// attemptError returns the error of an attempt that failed at every address. It
// has the reason of the first address for which another attempt may succeed, if
// there is one.
func attemptError(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	reason := event.ReasonOf(errs[0])
	for _, err := range errs {
		if !Final(err) {
			reason = event.ReasonOf(err)
			break
		}
	}
	return &event.Error{Op: opConnect, Reason: reason, Cause: &listError{errs}}
}

// Final reports whether another attempt without a change of settings is
// pointless: every address refused the login or the settings in its CONNACK, or
// the broker refused a filter. Any other error is an outage.
func Final(err error) bool {
	if err == nil {
		return false
	}
	if list, ok := errors.AsType[*listError](err); ok {
		for _, err := range list.errs {
			if !Final(err) {
				return false
			}
		}
		return true
	}
	e, ok := errors.AsType[*event.Error](err)
	if !ok {
		return false
	}
	if e.Op != opConnect {
		_, less := errors.AsType[*GrantedLessError](err)
		return !less && finalReason(e.Reason) // a filter that works at a lower QoS is not final
	}
	code, ok := errors.AsType[*CodeError](err)
	return ok && code.Packet == wire.TypeConnack.String() && finalCode(code.Code)
}

// finalReason reports whether a refusal on a working connection is final.
func finalReason(r event.Reason) bool {
	switch r {
	case event.ReasonNetwork, event.ReasonNotConnected, event.ReasonTimeout, event.ReasonTakenOver, event.ReasonQuota, "":
		return false
	}
	return true
}

// finalCode reports whether a code of CONNACK is about login or settings.
func finalCode(code byte) bool {
	switch code {
	case wire.ReturnUnacceptableVersion, wire.ReturnIdentifierRejected, wire.ReturnBadUserNameOrPassword, wire.ReturnNotAuthorized,
		wire.ReasonMalformedPacket, wire.ReasonProtocolError, wire.ReasonUnsupportedVersion, wire.ReasonClientIDNotValid,
		wire.ReasonBadUserNameOrPassword, wire.ReasonNotAuthorized, wire.ReasonBanned, wire.ReasonBadAuthenticationMethod,
		wire.ReasonTopicNameInvalid, wire.ReasonPacketTooLarge, wire.ReasonPayloadFormatInvalid, wire.ReasonRetainNotSupported,
		wire.ReasonQoSNotSupported:
		return true
	}
	return false
}
