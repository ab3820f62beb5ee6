package wire

// qosOfAck is the code that mochi 2.7.9 writes into a PUBACK: the QoS of the
// message.
const qosOfAck = 1

// checkCode rejects a code below [ReasonError] that the standard does not list
// for the packet type, because it would be read as success. Codes from
// [ReasonError] on are refusals and are accepted even if not listed: some
// brokers send MQTT 5 codes on 3.1.1.
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
	return malformed(t, rule, "code is not defined for this packet")
}
