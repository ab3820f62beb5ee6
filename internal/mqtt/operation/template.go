package operation

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// template is a topic template of a description, which its generator checked:
// levels of text and parameters, "{path}" and at the end "{path=**}".
type template struct{ levels []templateLevel }

type templateLevel struct {
	text string // without a parameter
	path string // of a parameter
	tail bool   // takes the rest
}

func parseTemplate(text string) *template {
	t := new(template)
	for level := range strings.SplitSeq(text, "/") {
		l := templateLevel{text: level}
		if name, ok := strings.CutPrefix(level, "{"); ok {
			name = strings.TrimSuffix(name, "}")
			l.path, l.tail = strings.CutSuffix(name, "=**")
			l.text = ""
		}
		t.levels = append(t.levels, l)
	}
	return t
}

// problem returns what is wrong with a level that no generator has checked.
func (l templateLevel) problem(m protoreflect.MessageDescriptor) string {
	if l.path == "" {
		if l.text == "" || strings.ContainsAny(l.text, "+#{}") {
			return fmt.Sprintf("level %q", l.text)
		}
		return ""
	}
	for i, name := range strings.Split(l.path, ".") {
		if m == nil {
			return fmt.Sprintf("no field %q", l.path)
		}
		f := m.Fields().ByName(protoreflect.Name(name))
		if f == nil || f.IsList() || f.IsMap() {
			return fmt.Sprintf("no field %q that can be a level", l.path)
		}
		if m = f.Message(); i == strings.Count(l.path, ".") && m != nil {
			return fmt.Sprintf("field %q is a message", l.path)
		}
	}
	return ""
}

// below returns the template under a prefix, or nil when it has no parameter.
func (t *template) below(p prefix) *template {
	for _, l := range t.levels {
		if l.path != "" {
			under := make([]templateLevel, p.levels, p.levels+len(t.levels))
			return &template{append(under, t.levels...)}
		}
	}
	return nil
}

// read returns the parameters of a topic. Levels that do not match are left out.
func (t *template) read(topic string) map[string]string {
	if t == nil {
		return nil
	}
	values := make(map[string]string)
	for _, l := range t.levels {
		level, rest, _ := strings.Cut(topic, "/")
		if l.tail {
			level = topic
		}
		if l.path != "" && level != "" {
			values[l.path] = level
		}
		topic = rest
	}
	return values
}

// has reports whether a field is a parameter.
func (t *template) has(path string) bool {
	return t != nil && path != "" && slices.ContainsFunc(t.levels, func(l templateLevel) bool { return l.path == path })
}

// value returns the value of a parameter in a topic, as [template.read] does, or "" if it
// has none.
func (t *template) value(topic, path string) string {
	for _, l := range t.levels {
		if l.path == path && l.tail {
			return topic
		}
		level, rest, more := strings.Cut(topic, "/")
		if l.path == path {
			return level
		}
		if !more {
			return ""
		}
		topic = rest
	}
	return ""
}

// guarded returns the value of a parameter, preceded by the values of the parameters in
// front of it and separated by slashes, or "" without a value. Access rules guard a topic
// from its front: a client that may publish below a/ has no rights on equal names below
// b/.
func (t *template) guarded(topic, path string) string {
	var parts []string
	for _, l := range t.levels {
		level, rest, more := strings.Cut(topic, "/")
		if l.tail {
			level, more = topic, false
		}
		if l.path != "" {
			parts = append(parts, level)
		}
		if l.path == path {
			if level == "" {
				return ""
			}
			return strings.Join(parts, "/")
		}
		if !more {
			return ""
		}
		topic = rest
	}
	return ""
}

// render returns the topic with these values of the parameters.
func (t *template) render(value func(path string) (string, error)) (string, error) {
	parts := make([]string, len(t.levels))
	for i, l := range t.levels {
		if parts[i] = l.text; l.path == "" {
			continue
		}
		v, err := value(l.path)
		if err != nil {
			return "", fmt.Errorf("parameter {%s}: %w", l.path, err)
		}
		parts[i] = v
	}
	return strings.Join(parts, "/"), nil
}

// prefix has the levels in front of every topic of a registration.
type prefix struct {
	text   string // with a slash at its end, or ""
	levels int
}

// newPrefix returns the prefix of a text. A trailing slash is ignored; a leading slash is
// an empty level, as in topics.
func newPrefix(text string) prefix {
	if text == "" {
		return prefix{}
	}
	text = strings.TrimRight(text, "/") + "/"
	return prefix{text, strings.Count(text, "/")}
}

// tenant returns a function that finds the levels of the prefix in a topic, or nil if the
// prefix has no wildcards. Topics under different levels are never treated as the same.
func (p prefix) tenant() func(topic string) string {
	if !strings.Contains(p.text, "+") {
		return nil
	}
	return func(topic string) string {
		levels, _ := p.cut(topic)
		return levels
	}
}

// cut returns the topic behind the prefix, and the levels of it in the topic.
func (p prefix) cut(topic string) (levels, rest string) {
	at := 0
	for range p.levels {
		i := strings.IndexByte(topic[at:], '/')
		if i < 0 {
			return topic, ""
		}
		at += i + 1
	}
	return topic[:at], topic[at:]
}
