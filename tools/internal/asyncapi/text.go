package asyncapi

import (
	"strings"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
)

// text returns a comment without the leading space of each line.
func text(c protogen.Comments) string { return eventproto.CommentText(string(c)) }

// split returns the first sentence of a comment and the whole comment, which is empty if
// there is only one sentence.
func split(c protogen.Comments) (summary, description string) {
	all := text(c)
	first := all
	if paragraph, _, ok := strings.Cut(all, "\n\n"); ok {
		first = paragraph
	}
	if i := strings.Index(strings.ReplaceAll(first, "\n", " ")+" ", ". "); i >= 0 {
		first = first[:i]
	}
	summary = strings.TrimSuffix(strings.ReplaceAll(first, "\n", " "), ".")
	if summary == strings.TrimSuffix(strings.ReplaceAll(all, "\n", " "), ".") {
		return summary, ""
	}
	return summary, all
}

func deprecated(options protoreflect.ProtoMessage) bool {
	o, ok := options.(interface{ GetDeprecated() bool })
	return ok && o.GetDeprecated()
}
