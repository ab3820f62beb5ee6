package asyncapi

import (
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
)

// TestText expects comments without the markup of their file.
func TestText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ comment, summary, description string }{
		{"", "", ""},
		{" One line.\n", "One line", ""},
		{" One line.\r\n", "One line", ""},
		{" First. Second.\n", "First", "First. Second."},
		{" First\r\n line.\r\n\r\n Second.\r\n", "First line", "First\nline.\n\nSecond."},
	} {
		summary, description := split(protogen.Comments(c.comment))
		if summary != c.summary || description != c.description {
			t.Errorf("%q: %q, %q, want %q, %q", c.comment, summary, description, c.summary, c.description)
		}
	}
}
