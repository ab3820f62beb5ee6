package explain

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

// checkTopic returns why a text is not a topic name, in words for a user who passed a filter.
func checkTopic(name string) error {
	switch {
	case strings.HasPrefix(name, "$share/"):
		return errors.New("a shared subscription is a filter, want a topic: leave $share and the group out")
	case strings.ContainsAny(name, "+#"):
		return fmt.Errorf("%q is a filter, want the topic of a message, without + and #", name)
	case strings.ContainsAny(name, "{}"):
		return fmt.Errorf("%q is a template, want the topic of a message, with values in place of {...}", name)
	}
	return topic.ValidateName(name)
}

// notes returns what is unusual about a topic.
func notes(name string) (all []string) {
	if strings.HasPrefix(name, "$") {
		all = append(all, "topics that begin with $ are the broker's own: a filter that begins with a wildcard does not match them [MQTT-4.7.2-1]")
	}
	if strings.HasPrefix(name, "/") {
		all = append(all, "the topic begins with /, so that its first level is empty")
	}
	if strings.HasSuffix(name, "/") {
		all = append(all, "the topic ends with /, so that its last level is empty")
	}
	if strings.ContainsAny(name, " \t") {
		all = append(all, "the topic contains blanks, which are part of its levels")
	}
	return all
}

// near compares a topic with a template that does not match it, level by level.
func (s *Service) near(m *eventproto.Method, i int, name string) Near {
	t := m.Topics[i]
	n := Near{Topic: name, Operation: m.Operation, Template: s.prefix() + t.Text}
	have, want := strings.Split(name, "/"), strings.Split(s.prefix()+m.Filters[i], "/")
	shown := strings.Split(n.Template, "/")
	differs := func(level int, why string) {
		if n.differences += 2; n.Level == 0 {
			n.Level, n.Why = level, why
		}
	}
	for i, level := range want {
		switch {
		case level == "#":
			return n
		case i >= len(have):
			differs(i+1, fmt.Sprintf("the topic has %d levels, and level %d has to be %s", len(have), i+1, shown[i]))
		case level == "+", level == have[i]:
		default:
			alike := hint(have[i], level)
			differs(i+1, fmt.Sprintf("level %d is %q, want %q%s", i+1, have[i], level, alike))
			if alike != "" {
				n.differences-- // probably a mistake in the topic
			}
		}
	}
	for i := len(want); i < len(have); i++ {
		differs(i+1, fmt.Sprintf("level %d, %q, is too much: the template has %d levels", i+1, have[i], len(want)))
	}
	if n.differences == 0 {
		differs(1, "a filter that begins with a wildcard does not match topics that begin with $")
	}
	return n
}

// hint returns what two levels that differ have in common.
func hint(have, want string) string {
	switch {
	case strings.EqualFold(have, want):
		return ": upper and lower case differ"
	case strings.TrimSpace(have) == want:
		return ": it has blanks"
	case have == "":
		return ": it is empty"
	}
	return ""
}
