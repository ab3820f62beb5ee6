package link

import (
	"fmt"
	"io"
	"log/slog"
)

// Secret is a string that must not reach a log, an error or a document: all
// its printed forms are "***", or empty when there is no secret. Convert it to
// string in the one place that sends it. Package fmt does not ask the values
// in unexported fields of a struct how they print, so keep a Secret in an
// exported one.
type Secret string

// String returns "***", or "" for the empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString is String, for %#v.
func (s Secret) GoString() string { return s.String() }

// Format is String for every verb: %d and the like would go round String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText is String, for YAML and XML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON is String as a JSON string.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// LogValue is String, for log/slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
