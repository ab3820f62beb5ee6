package wire

// qosOfAck is what mochi 2.7.9 puts into a PUBACK: the QoS of the message.
const qosOfAck = 1

// checkCode refuses a code below [ReasonError] that the standard does not list
// for the packet: whoever reads codes would take it for one of success. From
// there on a code is a refusal whether it is listed or not, and is passed on:
// some brokers answer with codes of MQTT 5 on 3.1.1.
func checkCode(t Type, code byte) error {
	if code == 0 || code >= ReasonError {
		return nil
	}
	rule, listed := "MQTT-3.4.2-1", code == ReasonNoMatchingSubscribers
	switch t {
	case TypePuback:
		listed = listed || code == qosOfAck
	case TypePubrec:
		rule = "MQTT-3.5.2-1"
	case TypePubrel:
		rule, listed = "MQTT-3.6.2-1", false
	case TypePubcomp:
		rule, listed = "MQTT-3.7.2-1", false
	case TypeSuback:
		rule, listed = "MQTT-3.9.3-2", code <= MaxQoS
	case TypeUnsuback:
		rule, listed = "MQTT-3.11.3-2", code == ReasonNoSubscriptionExisted
	case TypeDisconnect:
		rule, listed = "MQTT-3.14.2-1", false
	case TypeAuth:
		rule, listed = "MQTT-3.15.2-1", code == ReasonContinueAuthentication
	}
	if listed {
		return nil
	}
	return malformed(t, rule, "code is not one of this packet's")
}
