package eventproto

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Template is a topic template: levels of text, parameters and, for who only
// subscribes, wildcards.
type Template struct {
	Text   string
	Levels []Level
}

// Level is one level of a [Template].
type Level struct {
	// Literal is its text, or the wildcard + or #; empty for a parameter, and for the
	// first level of a topic that begins with a slash.
	Literal string
	Wild    bool
	// Param is the path of a field, Tail says that it takes the rest.
	Param []string
	Tail  bool
	// Offset of the level in the template, in bytes.
	Offset int
}

// SyntaxError is what is wrong with a template, and where.
type SyntaxError struct {
	Text    string
	Offset  int
	Problem string
}

// Error shows the template and the place.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("topic %q: %s (byte %d)", e.Text, e.Problem, e.Offset)
}

// ParseTemplate reads a template; wild permits the wildcards + and #.
func ParseTemplate(text string, wild bool) (*Template, error) {
	p := parser{text: text, wild: wild}
	if err := p.whole(); err != nil {
		return nil, err
	}
	t := &Template{Text: text}
	offset := 0
	for rest, more := text, true; more; {
		var level string
		level, rest, more = strings.Cut(rest, "/")
		l, err := p.level(level, offset, !more)
		if err != nil {
			return nil, err
		}
		t.Levels = append(t.Levels, l)
		offset += len(level) + 1
	}
	return t, nil
}

type parser struct {
	text string
	wild bool
}

func (p *parser) fail(offset int, format string, args ...any) error {
	return &SyntaxError{p.text, offset, fmt.Sprintf(format, args...)}
}

// whole checks what is not about one level.
func (p *parser) whole() error {
	switch {
	case p.text == "":
		return p.fail(0, "is empty")
	case len(p.text) > 65535:
		return p.fail(65535, "is longer than 65,535 bytes [MQTT-1.5.4]")
	case !utf8.ValidString(p.text):
		return p.fail(0, "is not valid UTF-8 [MQTT-1.5.4-1]")
	case strings.HasPrefix(p.text, "$share/") || strings.HasPrefix(p.text, "$queue/"):
		return p.fail(0, "names a shared subscription; use the option group")
	case p.text[0] == '$':
		return p.fail(0, "begins with $, which is the broker's own and no event [MQTT5 4.7.2]; subscribe in code, with WithSubscribeBroad")
	}
	for i, r := range p.text {
		if control(r) {
			return p.fail(i, "contains a control character, a non-character or a bidirectional mark")
		}
	}
	return nil
}

// control reports whether a broker may close the connection over a character
// [MQTT-1.5.4-1], or an editor or terminal shows others in its place.
func control(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x2029 || r < 0x20 || r >= 0x7F && r < 0xA0 || r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF
}

func (p *parser) level(text string, offset int, last bool) (Level, error) {
	switch {
	case text == "" && offset == 0 && !last: // of a topic that begins with a slash
		return Level{}, nil
	case text == "":
		return Level{}, p.fail(offset, "has an empty level")
	case text == "+" || text == "#":
		return p.wildcard(text, offset, last)
	case strings.ContainsAny(text, "+#"):
		return Level{}, p.fail(offset, "has a wildcard in %q, which must be a whole level", text)
	case strings.ContainsAny(text, "{}"):
		return p.param(text, offset, last)
	}
	return Level{Literal: text, Offset: offset}, nil
}

func (p *parser) wildcard(text string, offset int, last bool) (Level, error) {
	if !p.wild {
		return Level{}, p.fail(offset, "has the wildcard %s, which only SIDE_SUBSCRIBE_ONLY may use: bind the level to a field instead", text)
	}
	if text == "#" && !last {
		return Level{}, p.fail(offset, "has # before its end")
	}
	return Level{Literal: text, Wild: true, Offset: offset}, nil
}

func (p *parser) param(text string, offset int, last bool) (Level, error) {
	switch {
	case strings.HasPrefix(text, "{$"):
		return Level{}, p.fail(offset, "has {$, which is reserved")
	case strings.Count(text, "{") > strings.Count(text, "}"):
		return Level{}, p.fail(offset, "has an unclosed {")
	case text[0] != '{' || text[len(text)-1] != '}' || strings.Count(text, "{") != 1 || strings.Count(text, "}") != 1:
		return Level{}, p.fail(offset, "has a parameter in %q, which must be a whole level", text)
	}
	path, pattern, has := strings.Cut(text[1:len(text)-1], "=")
	if has && pattern != "**" {
		return Level{}, p.fail(offset, "has the pattern %q: only ** is known", pattern)
	}
	if has && !last {
		return Level{}, p.fail(offset, "has %q before its end: a parameter with =** takes the rest", text)
	}
	l := Level{Param: strings.Split(path, "."), Tail: has, Offset: offset}
	for _, name := range l.Param {
		if !identifier(name) {
			return Level{}, p.fail(offset, "has the parameter %q, which is no path of a field", path)
		}
	}
	return l, nil
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

// Filter is the topic filter: + for each parameter, # for one that takes the
// rest.
func (t *Template) Filter() string {
	parts := make([]string, len(t.Levels))
	for i, l := range t.Levels {
		switch {
		case l.Tail:
			parts[i] = "#"
		case l.Param != nil:
			parts[i] = "+"
		default:
			parts[i] = l.Literal
		}
	}
	return strings.Join(parts, "/")
}

// Address is the template with underscores in the place of dots and without
// patterns, as AsyncAPI wants it. A wildcard is a parameter of its own.
func (t *Template) Address() string {
	parts := t.Names()
	for i, l := range t.Levels {
		if parts[i] != "" {
			parts[i] = "{" + parts[i] + "}"
		} else {
			parts[i] = l.Literal
		}
	}
	return strings.Join(parts, "/")
}

// Names returns the name of each level as a parameter, "" for text. A second
// parameter of a name, {a_b} beside {a.b}, has the number of its level behind it.
func (t *Template) Names() []string {
	names := make([]string, len(t.Levels))
	for i, l := range t.Levels {
		name := ""
		switch {
		case l.Param != nil:
			name = strings.Join(l.Param, "_")
		case l.Wild:
			name = "level" + strconv.Itoa(i+1)
		}
		for name != "" && slices.Contains(names, name) {
			name += "_" + strconv.Itoa(i+1)
		}
		names[i] = name
	}
	return names
}

// Wild reports whether there is a wildcard: nobody can publish to it.
func (t *Template) Wild() bool {
	for _, l := range t.Levels {
		if l.Wild {
			return true
		}
	}
	return false
}
