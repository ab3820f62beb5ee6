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

// value is what a topic has at the wildcard with a number, from 1; "" for none.
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

// standard returns the templates where none are named: below reply/ everything that the
// request's topic has in the place of its parameters, which is what the broker's
// access rules are about. A topic without parameters has none.
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

// replyLevel is what the standard response topics begin with.
const replyLevel = "reply"
