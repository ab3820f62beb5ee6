package configfile

import (
	"errors"
	"fmt"
	"strings"
)

// expanded is a text with its placeholders resolved.
type expanded struct {
	text string
	// whole reports whether the text was a single placeholder and nothing else.
	whole bool
}

// expand resolves ${NAME} and ${NAME:default}.
func expand(text string, lookup func(name string) (string, bool)) (expanded, error) {
	var b strings.Builder
	e := expanded{}
	for rest := text; ; {
		before, after, ok := strings.Cut(rest, "${")
		if !ok {
			b.WriteString(rest)
			break
		}
		if strings.HasSuffix(before, "$") { // $${
			b.WriteString(before[:len(before)-1] + "${")
			rest = after
			continue
		}
		b.WriteString(before)
		inside, behind, ok := strings.Cut(after, "}")
		if !ok {
			return e, errors.New("has ${ without }; write $${ for a literal ${")
		}
		name, otherwise, hasDefault := strings.Cut(inside, ":")
		if strings.Contains(otherwise, "{") { // its } would end the placeholder
			return e, errors.New("has a default that contains {, which is not supported: write the text without a placeholder, or set the variable")
		}
		if !variable(name) {
			return e, errors.New("has ${...} without the name of an environment variable; write $${ for a literal ${")
		}
		value, set := lookup(name)
		switch {
		case set && value != "":
			b.WriteString(value)
		case hasDefault:
			b.WriteString(otherwise)
		default:
			return e, fmt.Errorf("${%s} has no value: set the environment variable %s, or write a default, as in ${%s:default}", name, name, name)
		}
		e.whole = before == "" && behind == "" && rest == text
		rest = behind
	}
	e.text = b.String()
	return e, nil
}

// variable reports whether name is a valid name of an environment variable [POSIX 8.1].
func variable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}
