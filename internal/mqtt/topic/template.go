package topic

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Template is a topic with named parameters, such as
// "devices/{device_id}/data". A parameter is a whole level; the last one may
// be written {name=**} and is then one or more levels. Everything else is
// literal. A Template never changes and may be used concurrently.
type Template struct {
	text   string
	filter string
	levels []level
	params []string
	tail   bool // the last parameter takes the rest
}

// level is one level of a template: a literal, or a parameter.
type level struct {
	literal string
	param   bool
}

// ParseTemplate reads a template. Names of parameters are identifiers of
// letters, digits and underscores and occur once. It refuses wildcards,
// control characters, stray braces, shared filters and "{$", which is
// reserved. The error is an [*Error].
func ParseTemplate(s string) (*Template, error) {
	t := &Template{text: s}
	if err := checkText(KindTemplate, s); err != nil {
		return nil, err
	}
	if strings.HasPrefix(s, sharePrefix) {
		return nil, t.invalid("names a share; groups are an option of the subscription")
	}
	for rest, more := s, true; more; {
		var text string
		text, rest, more = strings.Cut(rest, "/")
		if err := t.addLevel(text, !more); err != nil {
			return nil, err
		}
	}
	t.filter = t.buildFilter()
	return t, nil
}

func (t *Template) invalid(detail string) error {
	return &Error{Kind: KindTemplate, Text: t.text, Detail: detail}
}

func (t *Template) addLevel(text string, last bool) error {
	if !strings.ContainsAny(text, "{}") {
		return t.addLiteral(text)
	}
	if strings.HasPrefix(text, "{$") {
		return t.invalid("{$ is reserved")
	}
	name, ok := strings.CutPrefix(text, "{")
	if ok {
		name, ok = strings.CutSuffix(name, "}")
	}
	if !ok || strings.ContainsAny(name, "{}") {
		return t.invalid("a parameter must be a whole level in braces")
	}
	name, pattern, hasPattern := strings.Cut(name, "=")
	if hasPattern && (pattern != "**" || !last) {
		return t.invalid("only =** is allowed after a name, and only at the end")
	}
	t.tail = hasPattern
	return t.addParam(name)
}

func (t *Template) addLiteral(text string) error {
	for _, r := range text {
		switch {
		case r == '+' || r == '#':
			return t.invalid("contains a wildcard; use a parameter")
		case r < 0x20 || r >= 0x7F && r < 0xA0 || nonCharacter(r):
			return t.invalid("contains a control or non-character")
		}
	}
	t.levels = append(t.levels, level{literal: text})
	return nil
}

func (t *Template) addParam(name string) error {
	if !identifier(name) {
		return t.invalid("name of a parameter is not an identifier")
	}
	if slices.Contains(t.params, name) {
		return t.invalid("parameter " + name + " occurs twice")
	}
	t.params = append(t.params, name)
	t.levels = append(t.levels, level{param: true})
	return nil
}

func identifier(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

func (t *Template) buildFilter() string {
	parts := make([]string, len(t.levels))
	for i, l := range t.levels {
		parts[i] = l.literal
		if l.param {
			parts[i] = "+"
		}
	}
	if t.tail {
		parts[len(parts)-1] = "#"
	}
	return strings.Join(parts, "/")
}

// String returns the template as it was written.
func (t *Template) String() string { return t.text }

// Filter returns the filter to subscribe with: + for a parameter, # for a
// tail. With a tail it also takes in the level above, which [Template.Match]
// refuses.
func (t *Template) Filter() string { return t.filter }

// Params returns the names of the parameters in order, as a copy.
func (t *Template) Params() []string { return append([]string(nil), t.params...) }

// Match takes a received topic apart and appends the values in order to dst;
// they are parts of name. It reports false, with dst as it was, when name has
// other levels or a value that [ValidateParam] refuses: a received value is
// no more trusted than one to be sent. It allocates only when dst is too
// small.
func (t *Template) Match(name string, dst []string) (values []string, ok bool) {
	values = dst
	rest, more := name, true
	for i, l := range t.levels {
		if !more {
			return dst, false
		}
		if t.tail && i == len(t.levels)-1 {
			return appendTail(dst, values, rest)
		}
		var text string
		text, rest, more = strings.Cut(rest, "/")
		switch {
		case !l.param && text != l.literal:
			return dst, false
		case l.param && ValidateParam(text) != nil:
			return dst, false
		case l.param:
			values = append(values, text)
		}
	}
	if more {
		return dst, false
	}
	return values, true
}

func appendTail(dst, values []string, tail string) ([]string, bool) {
	if validateTail(tail) != nil {
		return dst, false
	}
	return append(values, tail), true
}

// validateTail checks every level of a tail.
func validateTail(s string) error {
	for rest, more := s, true; more; {
		var text string
		text, rest, more = strings.Cut(rest, "/")
		if err := ValidateParam(text); err != nil {
			return err
		}
	}
	return nil
}

// Build puts a topic together from one value for each parameter, in order. It
// refuses, all problems at once, a wrong number of values, a value that
// [ValidateParam] refuses (of a tail: any level), and a topic above 65,535
// bytes. Every problem is an [*Error].
func (t *Template) Build(values ...string) (string, error) {
	if len(values) != len(t.params) {
		return "", t.invalid(fmt.Sprintf("%d values for %d parameters", len(values), len(t.params)))
	}
	var problems []error
	for i, v := range values {
		if err := t.checkValue(i, v); err != nil {
			problems = append(problems, fmt.Errorf("parameter %s: %w", t.params[i], err))
		}
	}
	if problems != nil {
		return "", errors.Join(problems...)
	}
	name := t.join(values)
	if len(name) > MaxLength {
		return "", ValidateName(name)
	}
	return name, nil
}

func (t *Template) checkValue(i int, v string) error {
	if t.tail && i == len(t.params)-1 {
		return validateTail(v)
	}
	return ValidateParam(v)
}

func (t *Template) join(values []string) string {
	var b strings.Builder
	for i, l := range t.levels {
		if i > 0 {
			b.WriteByte('/')
		}
		if !l.param {
			b.WriteString(l.literal)
			continue
		}
		b.WriteString(values[0])
		values = values[1:]
	}
	return b.String()
}
