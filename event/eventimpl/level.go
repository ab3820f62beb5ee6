package eventimpl

import (
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// The rules for values that become part of a topic.
const (
	ruleEmpty    = "no level of a topic is empty"
	ruleOneLevel = "the value is one level of a topic, and / separates levels"
	ruleWildcard = "a topic to publish to has no + and no # [MQTT-4.7.1-1]"
	ruleDollar   = "levels that begin with $ are the broker's own [MQTT-4.7.2-1]"
	ruleControl  = "a topic has no control characters and no non-characters of Unicode [MQTT-1.5.4-1]"
	ruleHidden   = "a topic has no characters that reverse text or end a line, as they would disguise it"
	ruleUTF8     = "a topic is valid UTF-8 [MQTT-1.5.4-1]"
	ruleTooLong  = "a topic has at most 65535 bytes [MQTT-4.7.3-3]"
	ruleEnumName = "the value is the name of an enum value"
)

// badLevel returns what is wrong with a level, or with the last levels of a topic, or nil.
func badLevel(value string, tail bool) *event.ParameterError {
	if value == "" {
		return &event.ParameterError{Problem: "is empty", Rule: ruleEmpty}
	}
	plain := true // only printable ASCII
	for i := range len(value) {
		switch c := value[i]; {
		case c == '$' && (i == 0 || value[i-1] == '/'):
			return &event.ParameterError{Problem: "begins with", Character: "$", Rule: ruleDollar}
		case c == '+' || c == '#':
			return &event.ParameterError{Problem: "contains the wildcard", Character: string(rune(c)), Rule: ruleWildcard}
		case c == '/':
			if !tail {
				return &event.ParameterError{Problem: "contains", Character: "/", Rule: ruleOneLevel}
			}
			if i == 0 || i == len(value)-1 || value[i-1] == '/' {
				return &event.ParameterError{Problem: "has an empty level", Rule: ruleEmpty}
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

// badText checks characters other than ASCII [MQTT-1.5.4-1, 1.5.4-2].
func badText(value string) *event.ParameterError {
	if !utf8.ValidString(value) {
		return &event.ParameterError{Problem: "is not valid UTF-8", Rule: ruleUTF8}
	}
	for _, r := range value {
		if unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return &event.ParameterError{Problem: "contains the hidden character", Character: fmt.Sprintf("U+%04X", r), Rule: ruleHidden}
		}
		if r >= 0x80 && r < 0xA0 || r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF {
			return badCharacter(r)
		}
	}
	return nil
}

// badCharacter returns the error for a character that cannot be printed.
func badCharacter(r rune) *event.ParameterError {
	what := "contains the non-character"
	if unicode.IsControl(r) {
		what = "contains the control character"
	}
	return &event.ParameterError{Problem: what, Character: fmt.Sprintf("U+%04X", r), Rule: ruleControl}
}

func unnamed(number int32) *event.ParameterError {
	return &event.ParameterError{Problem: "enum value " + strconv.Itoa(int(number)) + " has no name", Rule: ruleEnumName}
}
