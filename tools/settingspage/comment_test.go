package main

import "testing"

func TestSplit(t *testing.T) {
	t.Parallel()
	for comment, want := range map[string]parts{
		"Interval. From 1 s to 9 s. Default 3 s.":                   {"3 s", "1 s to 9 s", "Interval."},
		"URLs,\n e.g. \"mqtt://b:1\". At most 3. Required.":         {"required", "at most 3", "URLs, e.g. `mqtt://b:1`."},
		"\"a\" keeps, \"b c\" drops it.\nDefault: \"a\", if unset.": {"`a`, if unset", "", "`a` keeps, \"b c\" drops it."},
		"Topics like inbox/<id>.":                                   {"", "", `Topics like inbox/\<id\>.`},
	} {
		if got := split(comment); got != want {
			t.Errorf("%q: %+v, want %+v", comment, got, want)
		}
	}
}

// TestPage compares the committed page, as make check does, and finds a page that is old.
func TestPage(t *testing.T) {
	t.Chdir("../..")
	if err := run(t.Context(), "docs/guide/settings.md", false); err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), "docs/guide/configuration.md", false); err == nil {
		t.Error("another page counts as current")
	}
}
