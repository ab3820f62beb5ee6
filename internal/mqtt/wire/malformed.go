package wire

// MalformedError says which rule of the standard a frame breaks. A frame that
// was received and breaks a rule ends its connection; one that was to be sent
// was not written.
type MalformedError struct {
	// Type of the packet; 0 when it is not known yet.
	Type Type
	// Rule is a normative statement such as "MQTT-3.3.1-4", or
	// "section 2.2.2.2" where the standard gives the rule no number.
	Rule string
	// Detail says what is wrong, without any content of the message.
	Detail string
	// Text is set when the fault is in the characters of a string, not in the
	// form of the packet: where the next packet begins is certain.
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

// truncated is the error for a field that runs past the end of its packet.
func truncated(t Type, field string) error {
	return malformed(t, "section 2.1.4", field+" runs past the end of the packet")
}
