package request

import (
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/topic"
)

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

// value returns the part of a topic at the wildcard with a number, counted from 1, or ""
// if there is none.
func (w wildcards) value(name, number string) string {
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > len(w.at) {
		return ""
	}
	levels := strings.Split(name, "/")
	at := w.at[n-1]
	switch {
	case at >= len(levels):
		return ""
	case w.tail && n == len(w.at):
		return strings.Join(levels[at:], "/")
	}
	return levels[at]
}

// standard returns the default templates: reply/ followed by the parameters of the
// request's topic, which are what the broker's access rules are about. For a topic without
// parameters there is none.
func (w wildcards) standard() []Template {
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
	return []Template{{text: strings.Join(levels, "/") + "/#", levels: levels, below: true}}
}

// replyLevel is the first level of the standard response topics.
const replyLevel = "reply"
