package topic

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"
)

// reference is a naive matcher that shares no code with the others. It
// translates the filter into a regular expression, following section 4.7 of the
// standard.
func reference(filter, name string) bool {
	if rest, ok := strings.CutPrefix(filter, "$share/"); ok {
		group, inner, ok := strings.Cut(rest, "/")
		if !ok || group == "" || strings.ContainsAny(group, "+#") || !wellFormed(group) {
			return false
		}
		filter = inner
	}
	if !wellFormed(filter) || filter == "" || name == "" {
		return false
	}
	if strings.HasPrefix(name, "$") && strings.ContainsAny(filter[:1], "+#") {
		return false
	}
	expr := regexp.QuoteMeta(filter)
	expr = regexp.MustCompile(`(^|/)\\\+`).ReplaceAllString(expr, `$1[^/]*`)
	expr = regexp.MustCompile(`(^|/)\\\+`).ReplaceAllString(expr, `$1[^/]*`) // adjacent levels share a slash
	switch {
	case expr == "#":
		expr = ".*"
	case strings.HasSuffix(expr, "/#"):
		expr = strings.TrimSuffix(expr, "/#") + "(/.*)?"
	}
	return regexp.MustCompile(`(?s)\A(` + expr + `)\z`).MatchString(name)
}

func wellFormed(s string) bool {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) || len(s) > 65_535 {
		return false
	}
	return !regexp.MustCompile(`[^/]\+|\+[^/]|[^/]#|#.`).MatchString(strings.ReplaceAll(s, "\n", "x"))
}

// FuzzMatch compares the matcher with the naive reference.
func FuzzMatch(f *testing.F) {
	for _, row := range topics(f) {
		if row.Check == "match" {
			f.Add(row.Input[0], row.Input[1])
		}
	}
	f.Fuzz(func(t *testing.T, filter, name string) {
		if len(filter) > 200 || len(name) > 1000 || !utf8.ValidString(name) {
			return // a regular expression is slow with many levels
		}
		if got, want := Match(filter, name), reference(filter, name); got != want {
			t.Fatalf("filter %q, name %q: %v, the reference %v", filter, name, got, want)
		}
	})
}
