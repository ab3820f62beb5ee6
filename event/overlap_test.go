package event_test

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// Overlap agrees with a matcher that tries topics out.
func TestOverlap(t *testing.T) {
	t.Parallel()
	words := []string{"a", "b", "$s", ""}
	topics := combine(words, 4)
	var filters []string
	for _, f := range combine([]string{"a", "b", "$s", "+"}, 3) {
		filters = append(filters, f, f+"/#")
	}
	filters = append(filters, "#", "+/+/+/a")
	matched := make(map[string][]bool, len(filters))
	for _, f := range filters {
		for _, topic := range topics {
			matched[f] = append(matched[f], matches(f, topic))
		}
	}
	for _, a := range filters {
		for _, b := range filters {
			want := false
			for i := range topics {
				if want = matched[a][i] && matched[b][i]; want {
					break
				}
			}
			if got := event.Overlap(a, b); got != want {
				t.Fatalf("Overlap(%q, %q) = %t, want %t", a, b, got, want)
			}
		}
	}
}

// combine gives all paths of up to n levels.
func combine(words []string, n int) (all []string) {
	level := []string{""}
	for i := range n {
		var next []string
		for _, before := range level {
			for _, w := range words {
				if i > 0 {
					w = before + "/" + w
				}
				next = append(next, w)
			}
		}
		level = next
		all = append(all, next...)
	}
	return all
}

func matches(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && strings.ContainsAny(filter[:1], "+#") {
		return false
	}
	f, p := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i == len(p):
			return false
		case level != "+" && level != p[i]:
			return false
		}
	}
	return len(f) == len(p)
}
