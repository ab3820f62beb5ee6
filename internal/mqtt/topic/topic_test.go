package topic

import (
	"errors"
	"strings"
	"testing"
)

// rule returns the rule in err and fails if err is not an *Error.
func rule(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("%T is not an *Error: %v", err, err)
	}
	if s := err.Error(); len(s) > 600 || strings.ContainsAny(s, "\x00\n") {
		t.Fatalf("not fit for a log line: %q", s)
	}
	return e.Rule
}

func TestValidateFilter(t *testing.T) {
	t.Parallel()
	for _, c := range filterCorpus() {
		if got := rule(t, ValidateFilter(c.filter)); got != c.rule {
			t.Errorf("%.40q: rule %q, want %q", c.filter, got, c.rule)
		}
		if got := IsBroad(c.filter); got != c.broad {
			t.Errorf("IsBroad(%.40q) = %v", c.filter, got)
		}
	}
}

func TestValidateName(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"a": "", "/": "", "a//b": "", "$SYS/x": "", "grün/日本": "", "a\u0001": "", strings.Repeat("x", MaxLength): "",
		"": "MQTT-4.7.3-1", "a\x00": "MQTT-4.7.3-2", "\xc0\xaf": "MQTT-1.5.4-1", "a/+": "MQTT-4.7.1-1", "a#b": "MQTT-4.7.1-1",
		strings.Repeat("x", MaxLength+1): "MQTT-4.7.3-3",
	} {
		if got := rule(t, ValidateName(name)); got != want {
			t.Errorf("%.40q: rule %q, want %q", name, got, want)
		}
	}
}

func TestParseShared(t *testing.T) {
	t.Parallel()
	for filter, want := range map[string][2]string{
		"$share/g/a/b": {"g", "a/b"}, "$share/g//a": {"g", "/a"}, "$share/a b/#": {"a b", "#"},
	} {
		group, inner, shared, err := ParseShared(filter)
		if err != nil || !shared || group != want[0] || inner != want[1] {
			t.Errorf("%q: %q, %q, %v, %v", filter, group, inner, shared, err)
		}
		if back, err := Share(group, inner); err != nil || back != filter {
			t.Errorf("Share: %q, %v, want %q", back, err, filter)
		}
	}
	if group, inner, shared, err := ParseShared("a/+"); group != "" || inner != "a/+" || shared || err != nil {
		t.Errorf("unshared: %q, %q, %v, %v", group, inner, shared, err)
	}
	for _, bad := range [][2]string{{"", "a"}, {"a/b", "c"}, {"+", "a"}, {"g", ""}, {"g", "a#"}, {"g", "$share/h/a"}, {"\x00", "a"}} {
		if s, err := Share(bad[0], bad[1]); err == nil {
			t.Errorf("Share(%q, %q) = %q", bad[0], bad[1], s)
		} else {
			rule(t, err)
		}
	}
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for _, c := range matchCorpus() {
		if got := Match(c.filter, c.name); got != c.want {
			t.Errorf("Match(%q, %q) = %v", c.filter, c.name, got)
		}
		trie := NewTrie[int](0)
		if _, err := trie.Add(c.filter, 1); err != nil {
			continue
		}
		if got := len(trie.Match(c.name)) == 1; got != c.want {
			t.Errorf("trie of %q, %q: %v", c.filter, c.name, got)
		}
	}
}
