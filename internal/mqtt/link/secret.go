package link

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that must not appear in a log, an error or a document.
// Every printed form is "***", or empty if the secret is empty. Convert it to
// string only where it is sent. Keep a Secret in an exported field: package fmt
// does not call the methods of values in unexported fields.
type Secret string

// String returns "***", or "" for the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString returns the same as String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format writes the same as String for every verb, because verbs such as %d do
// not call String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText returns the same as String, for YAML and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON returns the result of String as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue returns the same as String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
