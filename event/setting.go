package event

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// SettingError is what is wrong with one setting of a configuration. Package
// configfile adds the place of its key in the file to it.
type SettingError struct {
	// Section is the full name of the configuration message that the setting is in,
	// as in kratosmqtt.v1.Connection. Empty for a path from the root of the
	// configuration.
	Section string
	// Key is the name of the setting, or its path from the section.
	Key string
	// Text says what is wrong and what is wanted. It has no secrets.
	Text string
	// Cause is the error behind it; nil without one.
	Cause error
}

// Error has the form connection.keep_alive: text.
func (e *SettingError) Error() string {
	key := e.Key
	if e.Section != "" {
		key = snake(e.Section[strings.LastIndexByte(e.Section, '.')+1:]) + "." + key
	}
	return key + ": " + e.Text
}

// Unwrap returns the cause.
func (e *SettingError) Unwrap() error { return e.Cause }

// Setting makes a SettingError of a section of kratosmqtt.v1, such as
// "Connection". The last operand of %w is its cause.
func Setting(section, key, format string, args ...any) *SettingError {
	err := fmt.Errorf(format, args...)
	return &SettingError{Section: "kratosmqtt.v1." + section, Key: key, Text: err.Error(), Cause: errors.Unwrap(err)}
}

// snake is the name of a message as that of a field: DeadLetters, dead_letters.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
