package eventproto

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Template is a topic template: levels of text and parameters, and wildcards if the
// method only subscribes.
type Template struct {
	Text   string
	Levels []Level
}

// Level is one level of a [Template].
type Level struct {
	// Literal is the text of the level, or the wildcard + or #. It is empty for a parameter,
	// and for the first level of a topic that begins with a slash.
	Literal string
	Wild    bool
	// Param is the path of a field; Tail reports that it matches the rest of the topic.
	Param []string
	Tail  bool
	// Partition is set for the level {partition}, which is a text until a message is published.
	Partition bool
	// Offset is the position of the level in the template, in bytes.
	Offset int
}

// SyntaxError is a problem with a template.
type SyntaxError struct {
	Text    string
	Offset  int
	Problem string
}

// Error returns the template, the problem and its position.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("topic %q: %s (byte %d)", e.Text, e.Problem, e.Offset)
}

// ParseTemplate parses a template; wild permits the wildcards + and #.
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

// whole checks the template as a whole.
func (p *parser) whole() error {
	switch {
	case p.text == "":
		return p.fail(0, "is empty")
	case len(p.text) > 65535:
		return p.fail(65535, "is longer than 65,535 bytes [MQTT-1.5.4]")
	case !utf8.ValidString(p.text):
		return p.fail(0, "is not valid UTF-8 [MQTT-1.5.4-1]")
	case strings.HasPrefix(p.text, "$share/") || strings.HasPrefix(p.text, "$queue/"):
		return p.fail(0, "is a shared subscription; use the option group instead")
	case p.text[0] == '$':
		return p.fail(0, "begins with $, which is reserved for topics of the broker [MQTT5 4.7.2]; subscribe to such topics in code, with WithSubscribeBroad")
	}
	for i, r := range p.text {
		if control(r) {
			return p.fail(i, "contains a control character, a non-character or a bidirectional mark")
		}
	}
	return nil
}

// control reports whether a broker may close the connection because of a character
// [MQTT-1.5.4-1], or whether the character changes how editors and terminals show others.
func control(r rune) bool {
	return unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x2029 || r < 0x20 || r >= 0x7F && r < 0xA0 || r&0xFFFE == 0xFFFE || r >= 0xFDD0 && r <= 0xFDEF
}

func (p *parser) level(text string, offset int, last bool) (Level, error) {
	switch {
	case text == "" && offset == 0 && !last: // the topic begins with a slash
		return Level{}, nil
	case text == "":
		return Level{}, p.fail(offset, "has an empty level")
	case text == "+" || text == "#":
		return p.wildcard(text, offset, last)
	case strings.ContainsAny(text, "+#"):
		return Level{}, p.fail(offset, "has a wildcard inside the level %q, want it to be a whole level", text)
	case strings.ContainsAny(text, "{}"):
		return p.param(text, offset, last)
	}
	return Level{Literal: text, Offset: offset}, nil
}

func (p *parser) wildcard(text string, offset int, last bool) (Level, error) {
	if !p.wild {
		return Level{}, p.fail(offset, "has the wildcard %s, which is allowed with SIDE_SUBSCRIBE_ONLY only: bind the level to a field instead", text)
	}
	if text == "#" && !last {
		return Level{}, p.fail(offset, "has # before the last level")
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
		return Level{}, p.fail(offset, "has a parameter inside the level %q, want it to be a whole level", text)
	}
	path, pattern, has := strings.Cut(text[1:len(text)-1], "=")
	if has && pattern != "**" {
		return Level{}, p.fail(offset, "has the pattern %q, want **", pattern)
	}
	if has && !last {
		return Level{}, p.fail(offset, "has %q before the last level: a parameter with =** matches the rest of the topic", text)
	}
	l := Level{Param: strings.Split(path, "."), Tail: has, Offset: offset}
	for _, name := range l.Param {
		if !identifier(name) {
			return Level{}, p.fail(offset, "has the parameter %q, want the path of a field", path)
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

// Filter returns the topic filter: + for each parameter, # for one that matches the rest.
func (t *Template) Filter() string {
	parts := make([]string, len(t.Levels))
	for i, l := range t.Levels {
		switch {
		case l.Tail:
			parts[i] = "#"
		case l.Param != nil, l.Partition:
			parts[i] = "+"
		default:
			parts[i] = l.Literal
		}
	}
	return strings.Join(parts, "/")
}

// Address returns the template as AsyncAPI expects it: with underscores instead of dots
// and without patterns. A wildcard becomes a parameter.
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

// Names returns the parameter name of each level, "" for text. If two parameters have the
// same name, such as {a_b} and {a.b}, the number of the level is appended to the second.
func (t *Template) Names() []string {
	names := make([]string, len(t.Levels))
	for i, l := range t.Levels {
		name := ""
		switch {
		case l.Param != nil:
			name = strings.Join(l.Param, "_")
		case l.Partition:
			name = "partition"
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

// Wild reports whether the template has a wildcard. Nobody can publish to such a topic.
func (t *Template) Wild() bool {
	for _, l := range t.Levels {
		if l.Wild {
			return true
		}
	}
	return false
}
