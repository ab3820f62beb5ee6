package wire

import "fmt"

// ReasonError is the lowest MQTT 5 reason code that is a refusal (section 2.4).
const ReasonError = 0x80

// Reason codes of MQTT 5. On 3.1.1 only SUBACK has reason codes: the granted
// QoS and 0x80.
const (
	ReasonSuccess                 = 0x00
	ReasonGrantedQoS1             = 0x01
	ReasonGrantedQoS2             = 0x02
	ReasonDisconnectWithWill      = 0x04
	ReasonNoMatchingSubscribers   = 0x10
	ReasonNoSubscriptionExisted   = 0x11
	ReasonContinueAuthentication  = 0x18
	ReasonReauthenticate          = 0x19
	ReasonUnspecified             = 0x80
	ReasonMalformedPacket         = 0x81
	ReasonProtocolError           = 0x82
	ReasonImplementationSpecific  = 0x83
	ReasonUnsupportedVersion      = 0x84
	ReasonClientIDNotValid        = 0x85
	ReasonBadUserNameOrPassword   = 0x86
	ReasonNotAuthorized           = 0x87
	ReasonServerUnavailable       = 0x88
	ReasonServerBusy              = 0x89
	ReasonBanned                  = 0x8A
	ReasonServerShuttingDown      = 0x8B
	ReasonBadAuthenticationMethod = 0x8C
	ReasonKeepAliveTimeout        = 0x8D
	ReasonSessionTakenOver        = 0x8E
	ReasonTopicFilterInvalid      = 0x8F
	ReasonTopicNameInvalid        = 0x90
	ReasonPacketIDInUse           = 0x91
	ReasonPacketIDNotFound        = 0x92
	ReasonReceiveMaximumExceeded  = 0x93
	ReasonTopicAliasInvalid       = 0x94
	ReasonPacketTooLarge          = 0x95
	ReasonMessageRateTooHigh      = 0x96
	ReasonQuotaExceeded           = 0x97
	ReasonAdministrativeAction    = 0x98
	ReasonPayloadFormatInvalid    = 0x99
	ReasonRetainNotSupported      = 0x9A
	ReasonQoSNotSupported         = 0x9B
	ReasonUseAnotherServer        = 0x9C
	ReasonServerMoved             = 0x9D
	ReasonSharedNotSupported      = 0x9E
	ReasonConnectionRateExceeded  = 0x9F
	ReasonMaximumConnectTime      = 0xA0
	ReasonSubIDNotSupported       = 0xA1
	ReasonWildcardNotSupported    = 0xA2
)

// Return codes of a 3.1.1 CONNACK (section 3.2.2.3 there). A server that
// supports only 3.1.1 also answers an MQTT 5 CONNECT with them.
const (
	ReturnUnacceptableVersion   = 0x01
	ReturnIdentifierRejected    = 0x02
	ReturnServerUnavailable     = 0x03
	ReturnBadUserNameOrPassword = 0x04
	ReturnNotAuthorized         = 0x05
)

// ReasonName returns the name of a code in a packet of type t in lower case,
// such as "not authorized". For a code without a name it returns a text such as
// "code 0x7f".
func ReasonName(t Type, v Version, code byte) string {
	name := ""
	switch {
	case t == TypeConnack && code >= 1 && code <= 5:
		name = returnName(code)
	case t == TypeSuback && code <= MaxQoS:
		name = grantedName(code)
	case t == TypeDisconnect && code == 0:
		name = "normal disconnection"
	case v == V311 && t == TypeSuback && code == ReasonError:
		name = "failure"
	case code == 0:
		name = "success"
	case v == V5 && code < ReasonError:
		name = successName(code)
	case v == V5:
		name = errorName(code)
	}
	if name == "" {
		return fmt.Sprintf("code 0x%02x", code)
	}
	return name
}

func returnName(code byte) string {
	return [...]string{
		"unacceptable protocol version", "identifier rejected", "server unavailable",
		"bad user name or password", "not authorized",
	}[code-1]
}

func grantedName(code byte) string {
	return [...]string{"granted QoS 0", "granted QoS 1", "granted QoS 2"}[code]
}

func successName(code byte) string {
	switch code {
	case ReasonDisconnectWithWill:
		return "disconnect with will message"
	case ReasonNoMatchingSubscribers:
		return "no matching subscribers"
	case ReasonNoSubscriptionExisted:
		return "no subscription existed"
	case ReasonContinueAuthentication:
		return "continue authentication"
	case ReasonReauthenticate:
		return "re-authenticate"
	default:
		return ""
	}
}

func errorName(code byte) string {
	names := [...]string{
		"unspecified error", "malformed packet", "protocol error", "implementation specific error",
		"unsupported protocol version", "client identifier not valid", "bad user name or password",
		"not authorized", "server unavailable", "server busy", "banned", "server shutting down",
		"bad authentication method", "keep alive timeout", "session taken over", "topic filter invalid",
		"topic name invalid", "packet identifier in use", "packet identifier not found",
		"receive maximum exceeded", "topic alias invalid", "packet too large", "message rate too high",
		"quota exceeded", "administrative action", "payload format invalid", "retain not supported",
		"QoS not supported", "use another server", "server moved", "shared subscriptions not supported",
		"connection rate exceeded", "maximum connect time", "subscription identifiers not supported",
		"wildcard subscriptions not supported",
	}
	if i := int(code) - ReasonError; i >= 0 && i < len(names) {
		return names[i]
	}
	return ""
}
