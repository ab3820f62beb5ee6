package session

import (
	"fmt"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// CodeError is a reason code of the broker that reports a failure.
type CodeError struct {
	// Packet is the type of the packet that carried it, such as CONNACK or
	// SUBACK.
	Packet string
	// Code is the reason code.
	Code byte
	// Name is the name of the code in the standard.
	Name string
	// Detail is the broker's reason string (MQTT 5), or empty.
	Detail string
	// Server is the server that the broker names in its place (MQTT 5), or empty.
	// It is reported and not followed: the operator decides where to connect.
	Server string
}

// Error returns packet and code, such as "SUBACK 0x80: unspecified error".
func (e *CodeError) Error() string {
	s := fmt.Sprintf("%s 0x%02X: %s", e.Packet, e.Code, e.Name)
	if e.Detail != "" {
		s += fmt.Sprintf(" (%.*q)", maxDetail, e.Detail)
	}
	if e.Server != "" {
		s += fmt.Sprintf(" server reference %.*q", maxDetail, e.Server)
	}
	return s
}

// maxDetail is how many characters of a broker's reason string are shown.
const maxDetail = 256

// reasonOfCode maps the MQTT 5 reason codes that a caller can act upon.
func reasonOfCode(code byte) event.Reason {
	switch code {
	case 0x86, 0x87, 0x8A, 0x8C:
		return event.ReasonNotAuthorized
	case 0x8E:
		return event.ReasonTakenOver
	case 0x8F, 0x90:
		return event.ReasonBadTopic
	case 0x95:
		return event.ReasonTooLarge
	case 0x93, 0x97, 0x9F:
		return event.ReasonQuota
	case 0x84, 0x9A, 0x9B, 0x9E, 0xA1, 0xA2:
		return event.ReasonUnsupported
	default:
		return event.ReasonRefused
	}
}

// reasonOfConnack also maps the five return codes of MQTT 3.1.1.
func reasonOfConnack(code byte) event.Reason {
	switch code {
	case 0x01:
		return event.ReasonUnsupported
	case 0x02:
		return event.ReasonBadRequest
	case 0x04, 0x05:
		return event.ReasonNotAuthorized
	case 0x03, 0x88, 0x89:
		return event.ReasonNotConnected
	case 0x85:
		return event.ReasonBadRequest
	}
	return reasonOfCode(code)
}

// GrantedLessError is the cause of an error about a filter that the broker
// granted at a lower QoS than requested.
type GrantedLessError struct{ Asked, Granted byte }

// Error returns both QoS levels.
func (e *GrantedLessError) Error() string {
	return fmt.Sprintf("granted at QoS %d, asked for %d", e.Granted, e.Asked)
}

func lessError(filter string, asked, granted byte) error {
	return &event.Error{Op: opSubscribe, Topic: filter, Reason: event.ReasonUnsupported, Cause: &GrantedLessError{asked, granted}}
}
