package link

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"strings"
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

// ReadPassword returns the password in a file. One newline at the end is not part of it, because
// editors add it; anything else is. An empty password, or one that CONNECT cannot carry, is an
// error.
func ReadPassword(path string) (Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }()
	text, err := io.ReadAll(io.LimitReader(f, math.MaxUint16+3))
	if err != nil {
		return "", err
	}
	password := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	switch {
	case password == "":
		return "", errors.New("the file is empty")
	case len(password) > math.MaxUint16:
		return "", fmt.Errorf("the file has more than %d bytes, which CONNECT cannot carry", math.MaxUint16)
	}
	return Secret(password), nil
}
