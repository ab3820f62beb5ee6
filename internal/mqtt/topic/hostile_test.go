package topic

import (
	"errors"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/badinput"
)

// topics reads the table of bad topics and fails if it is too short.
func topics(tb testing.TB) []badinput.Topic {
	tb.Helper()
	list, err := badinput.Topics()
	if err != nil {
		tb.Fatal(err)
	}
	if len(list) < 480 {
		tb.Fatalf("%d topics and filters, want at least 480", len(list))
	}
	return list
}

func TestHostileTopics(t *testing.T) {
	t.Parallel()
	for _, row := range topics(t) {
		t.Run(row.Check+"/"+row.Rule+"/"+row.Case, func(t *testing.T) {
			t.Parallel()
			switch row.Check {
			case "name":
				wantError(t, row, ValidateName(row.Input[0]))
			case "filter", "shared":
				checkFilterRow(t, row)
			case "param": // event/eventimpl has the rules of parameters
			case "share":
				_, err := Share(row.Input[0], row.Input[1])
				wantError(t, row, err)
			case "broad":
				wantBool(t, row, IsBroad(row.Input[0]))
			case "match":
				wantBool(t, row, matches(t, row.Input[0], row.Input[1]))
			default:
				t.Fatalf("unknown check %q", row.Check)
			}
		})
	}
}

func checkFilterRow(t *testing.T, row badinput.Topic) {
	err := ValidateFilter(row.Input[0])
	wantError(t, row, err)
	if _, added := NewTrie[int](0).Add(row.Input[0], 1); (added == nil) != (err == nil) {
		t.Errorf("the trie says %v", added)
	}
	if len(row.Input) < 3 {
		return
	}
	group, inner, shared, _ := ParseShared(row.Input[0])
	if group != row.Input[1] || inner != row.Input[2] || !shared {
		t.Errorf("group %q, filter %q", group, inner)
	}
}

// matches compares Match, the trie and the naive reference.
func matches(t *testing.T, filter, name string) bool {
	t.Helper()
	got := Match(filter, name)
	trie := NewTrie[int](0)
	if _, err := trie.Add(filter, 1); err == nil {
		if inTrie := len(trie.Match(name)) == 1; inTrie != got {
			t.Errorf("Match says %v, the trie %v", got, inTrie)
		}
	}
	if naive := reference(filter, name); naive != got {
		t.Errorf("Match says %v, the reference %v", got, naive)
	}
	return got
}

// wantError checks that err has each part of the expected error, or is nil if
// none is expected. A normative statement is compared with the rule.
func wantError(t *testing.T, row badinput.Topic, err error) {
	t.Helper()
	if row.Want == "ok" {
		if err != nil {
			t.Error(err)
		}
		return
	}
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an *Error: %s", err, row.Want)
	}
	for part := range strings.SplitSeq(row.Want, "¶") {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("got %q, want %q", err, part)
		}
	}
	if strings.HasPrefix(row.Rule, "MQTT-") && !strings.Contains(err.Error(), "["+row.Rule+"]") {
		t.Errorf("%v names another rule than %s", err, row.Rule)
	}
	if strings.HasPrefix(row.Rule, "own:") && e.Rule != "" && e.Rule != "MQTT-4.7.3-1" {
		t.Errorf("%v names a rule of the standard", err)
	}
	if s := err.Error(); len(s) > 1200 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\n' || r >= 0x7F && r < 0xA0 }) {
		t.Errorf("not fit for a log: %q", s)
	}
}

func wantBool(t *testing.T, row badinput.Topic, got bool) {
	t.Helper()
	if want := row.Want == "true"; got != want {
		t.Errorf("got %v", got)
	}
}
