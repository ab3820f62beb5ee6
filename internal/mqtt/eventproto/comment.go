package eventproto

import (
	"cmp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Comment returns the comment before a declaration, else the one behind it, or "". Files that are
// linked into a program have none.
func Comment(d protoreflect.Descriptor) string {
	at := d.ParentFile().SourceLocations().ByDescriptor(d)
	return cmp.Or(CommentText(at.LeadingComments), CommentText(at.TrailingComments))
}

// CommentText returns a comment without the leading space of each line.
func CommentText(comment string) string {
	lines := strings.Split(strings.ReplaceAll(comment, "\r", ""), "\n")
	for i, l := range lines {
		lines[i] = strings.TrimRight(strings.TrimPrefix(l, " "), " \t")
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// Paragraph returns the first paragraph of a comment as one line.
func Paragraph(comment string) string {
	first, _, _ := strings.Cut(comment, "\n\n")
	return strings.Join(strings.Fields(first), " ")
}
