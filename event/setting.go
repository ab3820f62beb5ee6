package event

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// ErrNeedsRestart is the cause of a [SettingError] of a reload: the setting differs from the one
// in use, and is used after a restart.
var ErrNeedsRestart = errors.New("needs a restart")

// SettingError is an error of one setting of a configuration. Package configfile adds the
// position of the key in the file.
type SettingError struct {
	// Section is the full name of the configuration message that contains the setting, such as
	// kratosmqtt.v1.Connection. Empty if Key is a path from the root of the configuration.
	Section string
	// Key is the name of the setting, or its path from the section.
	Key string
	// Text describes what is wrong and what is expected. It contains no secrets.
	Text string
	// Cause is the underlying error, or nil.
	Cause error
}

// Error returns "connection.keep_alive: text".
func (e *SettingError) Error() string {
	key := e.Key
	if e.Section != "" {
		key = snake(e.Section[strings.LastIndexByte(e.Section, '.')+1:]) + "." + key
	}
	return key + ": " + e.Text
}

// Unwrap returns the cause.
func (e *SettingError) Unwrap() error { return e.Cause }

// NewSettingError returns a SettingError for a section of kratosmqtt.v1, such as "Connection". The
// operand of the last %w is its cause.
func NewSettingError(section, key, format string, args ...any) *SettingError {
	err := fmt.Errorf(format, args...)
	return &SettingError{Section: "kratosmqtt.v1." + section, Key: key, Text: err.Error(), Cause: errors.Unwrap(err)}
}

// snake converts the name of a message to the name of a field: DeadLetters becomes
// dead_letters.
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
