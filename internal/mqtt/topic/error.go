package topic

import "fmt"

// Kind says what a text was meant to be.
type Kind string

// Kinds of texts.
const (
	KindName   Kind = "topic name"
	KindFilter Kind = "topic filter"
	KindGroup  Kind = "share name"
	KindParam  Kind = "topic parameter"
	KindPrefix Kind = "prefix of shared filters"
)

// Error says which rule a text breaks.
type Error struct {
	// Kind is what the text was meant to be.
	Kind Kind
	// Text is the whole text, as it came.
	Text string
	// Rule is a normative statement such as "MQTT-4.7.1-1"; empty when the
	// rule is this project's own.
	Rule string
	// Detail says what is wrong.
	Detail string
}

// maxShown bounds how much of a text an error message repeats, in bytes.
const maxShown = 80

// Error returns one line with the quoted text, shortened when it is long.
func (e *Error) Error() string {
	text, more := e.Text, ""
	if len(text) > maxShown {
		text, more = text[:maxShown], "..."
	}
	s := fmt.Sprintf("mqtt: invalid %s %q%s: %s", e.Kind, text, more, e.Detail)
	if e.Rule != "" {
		s += " [" + e.Rule + "]"
	}
	return s
}
