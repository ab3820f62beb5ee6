package topic

import "fmt"

// Kind is what an invalid text was meant to be.
type Kind string

// Kinds of texts that [Error] can describe.
const (
	KindName   Kind = "topic name"
	KindFilter Kind = "topic filter"
	KindGroup  Kind = "share name"
	KindPrefix Kind = "prefix of shared filters"
)

// Error describes which rule a text breaks.
type Error struct {
	// Kind is what the text was meant to be.
	Kind Kind
	// Text is the whole text, unescaped.
	Text string
	// Rule is a normative statement such as "MQTT-4.7.1-1", or empty if the
	// rule is not from the standard.
	Rule string
	// Detail describes the fault.
	Detail string
}

// maxShown is how many bytes of the text an error message repeats.
const maxShown = 80

// Error returns one line with the quoted text, shortened if it is long.
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
