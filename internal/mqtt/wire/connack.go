package wire

import "bytes"

// Connack is the server's answer to CONNECT, with the limits that the server
// sets. Absent properties have the defaults of the standard.
type Connack struct {
	// AssignedClientID is the client identifier that the server chose, or "" if
	// absent.
	AssignedClientID string
	// ReasonString is the human-readable reason, or "" if absent.
	ReasonString string
	// ServerReference names another server to use, or "" if absent.
	ServerReference string
	// AuthData is the data with which the server accepts enhanced
	// authentication, or nil if absent.
	AuthData []byte
	// SessionExpiry is the session expiry interval in seconds. It replaces the
	// requested one and is valid only if HasSessionExpiry is set.
	SessionExpiry uint32
	// MaximumPacketSize is the largest packet that the server accepts, in
	// bytes; 0 means no limit.
	MaximumPacketSize uint32
	// ReceiveMaximum is the number of QoS 1 and 2 messages that the server
	// accepts without having acknowledged any; 65,535 by default.
	ReceiveMaximum uint16
	// TopicAliasMaximum is the highest topic alias that the server accepts; 0
	// means none.
	TopicAliasMaximum uint16
	// ServerKeepAlive is the keep-alive interval in seconds. It replaces the
	// requested one [MQTT-3.2.2-21], is valid only if HasServerKeepAlive is
	// set, and 0 turns keep-alive off.
	ServerKeepAlive uint16
	// MaximumQoS is the highest QoS that the server accepts; 2 by default.
	MaximumQoS byte
	// Reason is 0 on success, otherwise a return code on 3.1.1 and a reason
	// code on MQTT 5.
	Reason byte
	// SessionPresent reports whether the server resumes a session.
	SessionPresent bool
	// RetainAvailable reports whether the server accepts retained messages;
	// true by default.
	RetainAvailable bool
	// WildcardAvailable reports whether the server accepts filters with
	// wildcards; true by default.
	WildcardAvailable bool
	// SubIDAvailable reports whether the server supports subscription
	// identifiers; true by default.
	SubIDAvailable bool
	// SharedAvailable reports whether the server supports shared subscriptions;
	// true by default.
	SharedAvailable bool
	// HasSessionExpiry reports whether SessionExpiry is present.
	HasSessionExpiry bool
	// HasServerKeepAlive reports whether ServerKeepAlive is present.
	HasServerKeepAlive bool
}

// Decode reads the body of a CONNACK. It replaces every field of k and copies
// strings. On V5 it also accepts the two-byte refusal of a server that supports
// only 3.1.1; Reason is then the return code, 1 to 5. Any code except 0 is a
// refusal, even one that the standard does not list. A Maximum QoS of 2, which
// a server should omit, is accepted.
func (k *Connack) Decode(v Version, body []byte) error {
	*k = Connack{
		ReceiveMaximum: 65_535, MaximumQoS: MaxQoS,
		RetainAvailable: true, WildcardAvailable: true, SubIDAvailable: true, SharedAvailable: true,
	}
	c := cursor(body)
	flags, _ := c.byte()
	reason, ok := c.byte()
	if !ok {
		return truncated(TypeConnack, "reason code")
	}
	if flags > 1 {
		return malformed(TypeConnack, "MQTT-3.2.2-1", "reserved flags are set")
	}
	if flags == 1 && reason != 0 {
		return malformed(TypeConnack, "MQTT-3.2.2-6", "session present together with a refusal")
	}
	k.SessionPresent, k.Reason = flags == 1, reason
	if len(c) == 0 && (v != V5 || reason >= 1 && reason <= 5) {
		return nil
	}
	if v != V5 {
		return malformed(TypeConnack, "section 2.1.4", "more than a return code on 3.1.1")
	}
	return k.decodeProperties(c)
}

func (k *Connack) decodeProperties(c cursor) error {
	props, err := c.properties(TypeConnack)
	if err != nil {
		return err
	}
	if len(c) > 0 {
		return malformed(TypeConnack, "section 2.1.4", "bytes after the properties")
	}
	var seen uint64
	for len(props) > 0 {
		p, err := props.property(TypeConnack, &seen)
		if err != nil {
			return err
		}
		if err := k.set(p); err != nil {
			return err
		}
	}
	return nil
}

func (k *Connack) set(p property) error {
	switch p.id {
	case propSessionExpiry:
		k.SessionExpiry, k.HasSessionExpiry = p.num, true
	case propAssignedClientID:
		k.AssignedClientID = string(p.data)
	case propServerKeepAlive:
		k.ServerKeepAlive, k.HasServerKeepAlive = uint16(p.num), true
	case propServerReference:
		k.ServerReference = string(p.data)
	case propReasonString:
		k.ReasonString = string(p.data)
	case propAuthData:
		k.AuthData = bytes.Clone(p.data)
	case propTopicAliasMaximum:
		k.TopicAliasMaximum = uint16(p.num)
	case propReceiveMaximum:
		k.ReceiveMaximum = uint16(p.num)
		return nonZero(p.num, "section 3.2.2.3.3", "receive maximum 0")
	case propMaximumPacketSize:
		k.MaximumPacketSize = p.num
		return nonZero(p.num, "section 3.2.2.3.6", "maximum packet size 0")
	case propMaximumQoS:
		if p.num > MaxQoS {
			return malformed(TypeConnack, "section 3.2.2.3.4", "maximum QoS above 2")
		}
		k.MaximumQoS = byte(p.num)
	case propRetainAvailable:
		return setFlag(&k.RetainAvailable, p.num)
	case propWildcardAvailable:
		return setFlag(&k.WildcardAvailable, p.num)
	case propSubIDAvailable:
		return setFlag(&k.SubIDAvailable, p.num)
	case propSharedAvailable:
		return setFlag(&k.SharedAvailable, p.num)
	}
	return nil
}

func nonZero(n uint32, rule, detail string) error {
	if n == 0 {
		return malformed(TypeConnack, rule, detail)
	}
	return nil
}

func setFlag(flag *bool, n uint32) error {
	if n > 1 {
		return malformed(TypeConnack, "section 3.2.2.3", "value other than 0 or 1")
	}
	*flag = n == 1
	return nil
}
