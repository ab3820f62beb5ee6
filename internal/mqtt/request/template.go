package request

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/logsafe"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// Template is one of the response topics that a replier may publish on. Its levels are
// text, "{name}" for the value of a parameter of the request's topic, and "#" at the end
// for all levels below.
type Template struct {
	text   string
	levels []string
	below  bool // ends in #
}

// parseTemplate returns an error for an invalid template. A bound template has a
// parameter, and the sender of the request chooses none of the levels in front of it.
func parseTemplate(text string, bound bool) (Template, error) {
	t := Template{text: text, levels: strings.Split(text, "/")}
	bad := func(format string, args ...any) (Template, error) {
		return t, fmt.Errorf("reply topic %q: "+format, append([]any{logsafe.Clip(text)}, args...)...)
	}
	if err := topic.ValidateFilter(text); err != nil || strings.HasPrefix(text, "$") {
		return bad("want levels of text and {parameters}, and # at the end for whatever is below")
	}
	if last := len(t.levels) - 1; t.levels[last] == "#" {
		t.levels, t.below = t.levels[:last], true
	}
	parameters := 0
	for _, level := range t.levels {
		switch _, _, ok := placeholder(level); {
		case ok:
			parameters++
		case strings.ContainsAny(level, "{}+"):
			return bad("level %q is neither text nor a {parameter}", level)
		}
	}
	switch {
	case bound && parameters == 0:
		return bad("has no {parameter} of the request's topic, so that a client that may send a request could have anybody get the reply; WithUnboundReplyTopics, or unbound_topics of the configuration, allow that")
	case !bound && parameters > 0:
		return bad("has a {parameter}, which makes it one for WithReplyTopics, or topics of the configuration")
	}
	return t, nil
}

// placeholder returns the name of the parameter that a level is; tail is set for one
// that may have many levels.
func placeholder(level string) (name string, tail, ok bool) {
	if name, ok = strings.CutPrefix(level, "{"); ok {
		name, ok = strings.CutSuffix(name, "}")
	}
	name, tail = strings.CutSuffix(name, "=**")
	return name, tail, ok && name != "" && !strings.ContainsAny(name, "{}+")
}

// ParseTemplates reports the problems of all templates. One that is bound has a
// parameter of the request's topic, and one that is not has none.
func ParseTemplates(texts []string, bound bool) (all []Template, err error) {
	all = make([]Template, 0, len(texts))
	for _, text := range texts {
		t, bad := parseTemplate(text, bound)
		all, err = append(all, t), errors.Join(err, bad)
	}
	return all, err
}

// boundTo returns the template with the values of a request; ok is false when a parameter
// has no value.
func (t *Template) boundTo(value func(name string) string) (levels string, ok bool) {
	bound := slices.Clone(t.levels)
	for i, level := range bound {
		name, tail, is := placeholder(level)
		if !is {
			continue
		}
		bound[i] = value(name)
		if bound[i] == "" || !tail && strings.Contains(bound[i], "/") {
			return "", false
		}
	}
	return strings.Join(bound, "/"), true
}

// allows reports whether a response topic is the template, whose levels are
// given, or below it.
func (t *Template) allows(topic, levels string) bool {
	if strings.HasPrefix(topic, "$") {
		return false
	}
	if t.below && len(t.levels) == 0 {
		return true // "#"
	}
	rest, ok := strings.CutPrefix(topic, levels)
	return ok && (rest == "" || t.below && rest[0] == '/')
}
