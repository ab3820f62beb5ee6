package wire

// Connack is the server's answer to CONNECT, with the limits it sets. Absent
// properties have the defaults that the standard gives them.
type Connack struct {
	// AssignedClientID is the client identifier the server chose, "" if none.
	AssignedClientID string
	// ReasonString explains the reason for a person, "" if absent.
	ReasonString string
	// ServerReference names another server to use, "" if absent.
	ServerReference string
	// SessionExpiry in seconds, valid when HasSessionExpiry: it replaces the
	// one asked for.
	SessionExpiry uint32
	// MaximumPacketSize the server accepts, in bytes; 0 means no limit.
	MaximumPacketSize uint32
	// ReceiveMaximum is how many QoS 1 and 2 messages the server takes before
	// it acknowledged one; 65,535 by default.
	ReceiveMaximum uint16
	// TopicAliasMaximum is the highest alias the server accepts; 0 for none.
	TopicAliasMaximum uint16
	// ServerKeepAlive in seconds, valid when HasServerKeepAlive: it replaces
	// the one asked for [MQTT-3.2.2-21], and 0 turns it off.
	ServerKeepAlive uint16
	// MaximumQoS the server accepts; 2 by default.
	MaximumQoS byte
	// Reason is 0 on success: a return code on 3.1.1, a reason code on 5.
	Reason byte
	// SessionPresent says that the server resumes a session.
	SessionPresent bool
	// RetainAvailable says that retained messages are accepted; default true.
	RetainAvailable bool
	// WildcardAvailable says that filters may have wildcards; default true.
	WildcardAvailable bool
	// SubIDAvailable says that subscription identifiers work; default true.
	SubIDAvailable bool
	// SharedAvailable says that shared subscriptions work; default true.
	SharedAvailable bool
	// HasSessionExpiry reports whether SessionExpiry is present.
	HasSessionExpiry bool
	// HasServerKeepAlive reports whether ServerKeepAlive is present.
	HasServerKeepAlive bool
}

// Decode reads the body of a CONNACK. Everything in k is replaced; strings
// are copies. On V5 it also accepts the two-byte refusal of a server that
// knows 3.1.1 only: the return code, 1 to 5, is then in Reason. Any code but 0
// is a refusal, also one that the standard does not list. A Maximum QoS
// of 2, which should be left out, is taken as what it means.
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
		return malformed(TypeConnack, "MQTT-3.2.2-6", "session present beside a refusal")
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
