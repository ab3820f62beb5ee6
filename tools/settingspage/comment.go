package main

import (
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// parts are the columns of a setting that its comment contains.
type parts struct{ def, limits, meaning string }

var (
	sentenceEnd = regexp.MustCompile(`\.(\s+|$)`)
	quoted      = regexp.MustCompile(`"([^"\s]+)"`)
)

// split takes the sentences that begin with Default, Required, From, At least and At most out
// of a comment. What remains is the meaning.
func split(comment string) (p parts) {
	text := plain(comment)
	var meaning []string
	for _, s := range sentences(text) {
		switch {
		case strings.HasPrefix(s, "Default"):
			p.def = strings.TrimSpace(strings.TrimPrefix(strings.TrimPrefix(s, "Default"), ":"))
		case s == "Required":
			p.def = "required"
		case strings.HasPrefix(s, "From "), strings.HasPrefix(s, "At least "), strings.HasPrefix(s, "At most "):
			p.limits = strings.TrimPrefix(strings.ToLower(s[:1])+s[1:], "from ")
		default:
			meaning = append(meaning, s+".")
		}
	}
	p.meaning = strings.Join(meaning, " ")
	return p
}

// plain returns a comment as one line of Markdown, in which angles are not HTML.
func plain(comment string) string {
	angles := strings.NewReplacer("<", "\\<", ">", "\\>")
	return quoted.ReplaceAllString(angles.Replace(strings.Join(strings.Fields(comment), " ")), "`$1`")
}

// sentences splits a text at full stops, except those of abbreviations.
func sentences(text string) (list []string) {
	begin := 0
	for _, at := range sentenceEnd.FindAllStringIndex(text, -1) {
		if strings.HasSuffix(text[:at[0]+1], "e.g.") {
			continue
		}
		list = append(list, text[begin:at[0]])
		begin = at[1]
	}
	return list
}

// kind returns the type of a field, as a configuration file has it.
func kind(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsMap():
		return "map of " + one(f.MapValue())
	case f.IsList():
		return "list of " + one(f)
	}
	return one(f)
}

func one(f protoreflect.FieldDescriptor) string {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return "bool"
	case protoreflect.StringKind:
		return "text"
	case protoreflect.MessageKind:
		if m := f.Message(); m.FullName() != duration {
			return "[" + heading(m) + "](#" + heading(m) + ")"
		}
		return "duration"
	default:
		return "number"
	}
}

// usual returns the default of a field whose comment names none.
func usual(f protoreflect.FieldDescriptor) string {
	switch {
	case f.IsList() || f.IsMap():
		return "none"
	case f.Kind() == protoreflect.BoolKind:
		return "false"
	case f.Kind() == protoreflect.MessageKind && f.Message().FullName() != duration:
		return "" // the section of the message has them
	}
	return "none"
}
