package eventimpl_test

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
)

// matches is [MQTT-4.7] written as plainly as possible.
func matches(filter, topic []string) bool {
	switch {
	case len(filter) == 0:
		return len(topic) == 0
	case filter[0] == "#":
		return true
	case len(topic) == 0:
		return false
	}
	return (filter[0] == "+" || filter[0] == topic[0]) && matches(filter[1:], topic[1:])
}

func matchesTopic(filter, topic string) bool {
	if strings.HasPrefix(topic, "$") && (filter[0] == '+' || filter[0] == '#') {
		return false
	}
	return matches(strings.Split(filter, "/"), strings.Split(topic, "/"))
}

// sequences are all topics or filters of up to n of these levels.
func sequences(levels []string, n int) (all []string) {
	last := []string{""}
	for i := range n {
		var next []string
		for _, s := range last {
			for _, l := range levels {
				if i > 0 {
					l = s + "/" + l
				}
				next = append(next, l)
			}
		}
		all, last = append(all, next...), next
	}
	return all
}

// filters are those of up to four levels over a, b, + and #, some behind a
// first level that begins with $.
func filters() (all []string) {
	short := sequences([]string{"a", "b", "+"}, 3)
	all = append(sequences([]string{"a", "b", "+"}, 4), "#", "$s", "$s/#")
	for _, f := range short {
		all = append(all, f+"/#", "$s/"+f)
	}
	return all
}

// TestOverlap compares all pairs with all topics.
func TestOverlap(t *testing.T) {
	t.Parallel()
	all := filters()
	if len(all) < 160 {
		t.Fatalf("%d filters", len(all))
	}
	var topics []string
	for _, s := range sequences([]string{"a", "b"}, 4) {
		topics = append(topics, s, "$s/"+s)
	}
	topics = append(topics, "$s")
	matched := make(map[string][]bool)
	for _, f := range all {
		for _, topic := range topics {
			matched[f] = append(matched[f], matchesTopic(f, topic))
		}
	}
	for _, a := range all {
		for _, b := range all {
			want := false
			for i := range topics {
				want = want || matched[a][i] && matched[b][i]
			}
			if got := eventimpl.Overlap(a, b); got != want {
				t.Errorf("Overlap(%q, %q) = %v", a, b, got)
			}
		}
	}
}

func FuzzOverlap(f *testing.F) {
	for _, seed := range [][2]string{{"a/+", "a/b"}, {"#", "$s"}, {"a/#", "a"}, {"+/b", "a/+"}, {"a//b", "a/+/b"}, {"$s/#", "+/a"}, {"", "é"}} {
		f.Add(seed[0], seed[1])
	}
	// The empty topic, which nobody can send, counts: it is all that /# and + share.
	topics := sequences([]string{"a", "b", "$s", ""}, 4)
	f.Fuzz(func(t *testing.T, x, y string) {
		a, b := filterOf(x), filterOf(y)
		want := false
		for _, topic := range topics {
			want = want || matchesTopic(a, topic) && matchesTopic(b, topic)
		}
		if got := eventimpl.Overlap(a, b); got != want || got != eventimpl.Overlap(b, a) {
			t.Errorf("Overlap(%q, %q) = %v, want %v", a, b, got, want)
		}
		if !eventimpl.Overlap(a, a) {
			t.Errorf("%q does not overlap itself", a)
		}
	})
}

// filterOf makes a valid filter of any text, of up to four levels.
func filterOf(text string) string {
	var levels []string
	for _, l := range strings.SplitN(text, "/", 5) {
		if len(levels) == 4 {
			break
		}
		if l == "#" {
			levels = append(levels, "#")
			break
		}
		if l != "" && l != "+" && l != "a" && l != "$s" {
			l = "b"
		}
		levels = append(levels, l)
	}
	if f := strings.Join(levels, "/"); f != "" {
		return f
	}
	return "a"
}
