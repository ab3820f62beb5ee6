package bridge

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// replyTopic is a template of response topics that a replier publishes to. Its
// levels are text, "{name}" for what the request's topic has there, and "#" at the
// end for whatever is below.
type replyTopic struct {
	text   string
	levels []string
	below  bool // ends in #
}

// parseReplyTopic returns what is wrong with a template. One that is bound has a
// parameter: whoever may publish the request chooses nothing in front of it.
func parseReplyTopic(text string, bound bool) (replyTopic, error) {
	t := replyTopic{text: text, levels: strings.Split(text, "/")}
	bad := func(format string, args ...any) (replyTopic, error) {
		return t, fmt.Errorf("reply topic %q: "+format, append([]any{clip(text)}, args...)...)
	}
	if err := client.ValidateFilter(text); err != nil || strings.HasPrefix(text, "$") {
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
		return bad("has no {parameter} of the request's topic, so that whoever may send a request could have anybody get the reply; WithUnboundReplyTopics, or unbound_topics of the configuration, allow that")
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

// parseReplyTopics reports the problems of all.
func parseReplyTopics(texts []string, bound bool) (all []replyTopic, err error) {
	all = make([]replyTopic, 0, len(texts))
	for _, text := range texts {
		t, bad := parseReplyTopic(text, bound)
		all, err = append(all, t), errors.Join(err, bad)
	}
	return all, err
}

// boundTo is the template with the values of a request; ok is not set when there
// is none for a parameter.
func (t *replyTopic) boundTo(value func(name string) string) (topic string, ok bool) {
	levels := slices.Clone(t.levels)
	for i, level := range levels {
		name, tail, is := placeholder(level)
		if !is {
			continue
		}
		levels[i] = value(name)
		if levels[i] == "" || !tail && strings.Contains(levels[i], "/") {
			return "", false
		}
	}
	return strings.Join(levels, "/"), true
}

// allows reports whether a response topic is the template, whose levels are
// given, or below it.
func (t *replyTopic) allows(topic, levels string) bool {
	if strings.HasPrefix(topic, "$") {
		return false
	}
	if t.below && len(t.levels) == 0 {
		return true // "#"
	}
	rest, ok := strings.CutPrefix(topic, levels)
	return ok && (rest == "" || t.below && rest[0] == '/')
}

// isInbox reports whether a response topic is one of [Broker.Request]:
// inbox/<client id>/<random UUID>. Nobody is told of it but the repliers of that
// client, so that it needs no binding: a stranger who names one hits nobody.
func isInbox(topic string) bool {
	client, ok := strings.CutPrefix(topic, client.InboxPrefix)
	client, name, found := strings.Cut(client, "/")
	if !ok || !found || client == "" || len(name) != 36 {
		return false
	}
	id, err := uuid.Parse(name)
	return err == nil && id.Version() == 4
}

// wildcards are the levels of a filter that a publisher chooses.
type wildcards struct {
	at   []int
	tail bool // the last of them takes the rest
}

func wildcardsOf(filter string) (w wildcards) {
	for i, level := range strings.Split(topic.Unshared(filter), "/") {
		if level == "+" || level == "#" {
			w.at = append(w.at, i)
			w.tail = level == "#"
		}
	}
	return w
}

// value is what a topic has at the wildcard with a number, from 1; "" for none.
func (w wildcards) value(topic, number string) string {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(w.at) {
		return ""
	}
	levels := strings.Split(topic, "/")
	at := w.at[n-1]
	switch {
	case at >= len(levels):
		return ""
	case w.tail && n == len(w.at):
		return strings.Join(levels[at:], "/")
	}
	return levels[at]
}

// standard returns the templates where none are named: below reply/ everything that the
// request's topic has in the place of its parameters, which is what the broker's
// access rules are about. A topic without parameters has none.
func (w wildcards) standard() []replyTopic {
	if len(w.at) == 0 {
		return nil
	}
	levels := []string{replyLevel}
	for n := range w.at {
		levels = append(levels, "{"+strconv.Itoa(n+1)+"}")
	}
	if w.tail {
		levels[len(levels)-1] = "{" + strconv.Itoa(len(w.at)) + "=**}"
	}
	return []replyTopic{{text: strings.Join(levels, "/") + "/#", levels: levels, below: true}}
}

// replyLevel is what the standard response topics begin with.
const replyLevel = "reply"
