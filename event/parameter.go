package event

import "strings"

// ParameterError says why a value of a message cannot be a part of its topic: the
// cause of an [Error] of [ReasonBadTopic]. Trying again does not help. Through
// HTTP and gRPC it is the message of the Kratos error, and its metadata field,
// character and rule. It never holds the value.
type ParameterError struct {
	// Field is the path of the field, as in the .proto file. Empty for what is wrong
	// with the topic as a whole.
	Field string
	// Character is what the value must not have, such as "+", or its code point,
	// as U+0000, where it cannot be shown. Empty where it is no single one.
	Character string
	// Rule is the rule that the value breaks.
	Rule string
	// Problem says what is wrong, about the field.
	Problem string
}

// Error has field, character and rule.
func (e *ParameterError) Error() string {
	var b strings.Builder
	if e.Field != "" {
		b.WriteString("field " + e.Field + " ")
	}
	b.WriteString(e.Problem)
	if e.Character != "" {
		b.WriteString(" " + e.Character)
	}
	return b.String() + ": " + e.Rule
}

// annotate adds it to the metadata of a Kratos error.
func (e *ParameterError) annotate(md map[string]string) {
	for _, kv := range [...][2]string{{"field", e.Field}, {"character", e.Character}, {"rule", e.Rule}} {
		if kv[1] != "" {
			md[kv[0]] = kv[1]
		}
	}
}
