package wire

// MalformedError describes which rule of the standard a frame breaks. A
// received frame that breaks a rule ends its connection; an outgoing one is not
// written.
type MalformedError struct {
	// Type is the packet type, or 0 if it is not known yet.
	Type Type
	// Rule is a normative statement such as "MQTT-3.3.1-4", or "section
	// 2.2.2.2" if the rule has no number in the standard.
	Rule string
	// Detail describes the fault and contains nothing of the message.
	Detail string
	// Text is set if the fault is in the characters of a string, not in the
	// structure of the packet. The start of the next packet is then certain.
	Text bool
}

// Error returns one line with type, detail and rule.
func (e *MalformedError) Error() string {
	name := "packet"
	if e.Type != 0 {
		name = e.Type.String()
	}
	return "mqtt: malformed " + name + ": " + e.Detail + " [" + e.Rule + "]"
}

func malformed(t Type, rule, detail string) error {
	return &MalformedError{Type: t, Rule: rule, Detail: detail}
}

func illFormed(t Type, rule, detail string) error {
	return &MalformedError{Type: t, Rule: rule, Detail: detail, Text: true}
}

// truncated returns the error for a field that extends past the end of its
// packet.
func truncated(t Type, field string) error {
	return malformed(t, "section 2.1.4", field+" runs past the end of the packet")
}
