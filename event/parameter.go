package event

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

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

// The rules of what becomes a part of a topic.
const (
	ruleEmpty    = "no level of a topic is empty"
	ruleOneLevel = "the value is one level of a topic, and / parts levels"
	ruleWildcard = "a topic to publish to has no + and no # [MQTT-4.7.1-1]"
	ruleDollar   = "levels that begin with $ are the broker's own [MQTT-4.7.2-1]"
	ruleControl  = "a topic has no control characters and no non-characters of Unicode [MQTT-1.5.4-1]"
	ruleHidden   = "no character turns text around or ends a line, or a topic is not what it looks like"
	ruleUTF8     = "a topic is valid UTF-8 [MQTT-1.5.4-1]"
	ruleTooLong  = "a topic has at most 65535 bytes [MQTT-4.7.3-3]"
	ruleEnumName = "the value is the name of an enum value"
)

// badLevel says what is wrong with a level, or with a tail of levels; nil for
// nothing.
func badLevel(value string, tail bool) *ParameterError {
	if value == "" {
		return &ParameterError{Problem: "is empty", Rule: ruleEmpty}
	}
	plain := true // ASCII without anything to look at twice
	for i := range len(value) {
		switch c := value[i]; {
		case c == '$' && (i == 0 || value[i-1] == '/'):
			return &ParameterError{Problem: "begins with", Character: "$", Rule: ruleDollar}
		case c == '+' || c == '#':
			return &ParameterError{Problem: "contains the wildcard", Character: string(rune(c)), Rule: ruleWildcard}
		case c == '/':
			if !tail {
				return &ParameterError{Problem: "contains", Character: "/", Rule: ruleOneLevel}
			}
			if i == 0 || i == len(value)-1 || value[i-1] == '/' {
				return &ParameterError{Problem: "has an empty level", Rule: ruleEmpty}
			}
		case c < 0x20 || c == 0x7F:
			return badCharacter(rune(c))
		case c >= utf8.RuneSelf:
			plain = false
		}
	}
	if !plain {
		return badText(value)
	}
	return nil
}

// badText looks at what is beyond ASCII [MQTT-1.5.4-1, 1.5.4-2].
func badText(value string) *ParameterError {
	if !utf8.ValidString(value) {
		return &ParameterError{Problem: "is not valid UTF-8", Rule: ruleUTF8}
	}
	for _, r := range value {
		if unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return &ParameterError{Problem: "contains the hidden character", Character: fmt.Sprintf("U+%04X", r), Rule: ruleHidden}
		}
		if r >= 0x80 && r < 0xA0 || r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF {
			return badCharacter(r)
		}
	}
	return nil
}

// badCharacter is about one that cannot be shown as it is.
func badCharacter(r rune) *ParameterError {
	what := "contains the non-character"
	if unicode.IsControl(r) {
		what = "contains the control character"
	}
	return &ParameterError{Problem: what, Character: fmt.Sprintf("U+%04X", r), Rule: ruleControl}
}

func unnamed(number int32) *ParameterError {
	return &ParameterError{Problem: "enum value " + strconv.Itoa(int(number)) + " has no name", Rule: ruleEnumName}
}
