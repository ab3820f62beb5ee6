package event

import "strings"

// ParameterError describes why a value of a message cannot be part of its topic. It is the
// cause of an [Error] with [ReasonBadTopic]. Retrying does not help. Callers over HTTP and
// gRPC receive it in the message of the Kratos error, with the metadata entries field,
// character and rule. It never contains the value.
type ParameterError struct {
	// Field is the path of the field as in the .proto file; empty if the error is about the
	// topic as a whole.
	Field string
	// Character is the forbidden character, such as "+", or its code point, such as U+0000, if
	// it is not printable. It is empty if the problem is not a single character.
	Character string
	// Rule is the rule that the value breaks.
	Rule string
	// Problem describes what is wrong with the field.
	Problem string
}

// Error returns field, character and rule.
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

// annotate adds field, character and rule to the metadata of a Kratos error.
func (e *ParameterError) annotate(md map[string]string) {
	for _, kv := range [...][2]string{{"field", e.Field}, {"character", e.Character}, {"rule", e.Rule}} {
		if kv[1] != "" {
			md[kv[0]] = kv[1]
		}
	}
}
