package session

import (
	"errors"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/wire"
)

// listError is what one attempt at several addresses met, in their order.
type listError struct{ errs []error }

// Error joins them.
func (l *listError) Error() string {
	parts := make([]string, len(l.errs))
	for i, err := range l.errs {
		parts[i] = err.Error()
	}
	return "no address of the list: " + strings.Join(parts, "; ")
}

// Unwrap returns them all.
func (l *listError) Unwrap() []error { return l.errs }

// attemptError is the outcome of an attempt that no address accepted. Its reason
// is that of the first address that may be mended by trying again, if any.
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

// Final reports whether trying again without a change of settings is pointless:
// every address refused the login or the settings in its CONNACK, or the broker
// refused a filter. Everything else is an outage.
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
		return !less && finalReason(e.Reason) // what works, at a lower level, is told
	}
	code, ok := errors.AsType[*CodeError](err)
	return ok && code.Packet == wire.TypeConnack.String() && finalCode(code.Code)
}

// finalReason is about what is refused on a connection that holds.
func finalReason(r event.Reason) bool {
	switch r {
	case event.ReasonNetwork, event.ReasonNotConnected, event.ReasonTimeout, event.ReasonTakenOver, event.ReasonQuota, "":
		return false
	}
	return true
}

// finalCode names the codes of CONNACK that are about login and settings.
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
