package operation

import "testing"

func TestTemplateGuarded(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ template, prefix, topic, path, want string }{
		{"sites/{site}/rooms/{room}", "", "sites/A/rooms/1", "site", "A"},
		{"sites/{site}/rooms/{room}", "", "sites/A/rooms/1", "room", "A/1"},
		{"{tenant}/devices/{id}/{kind}", "", "a/devices/7/data", "id", "a/7"},
		{"{tenant}/devices/{id}/{kind}", "+/", "x/a/devices/7/data", "id", "a/7"},
		{"{tenant}/{rest=**}", "", "a/b/c", "rest", "a/b/c"},
		{"{tenant}/{rest=**}", "", "a/b/c", "tenant", "a"},
		{"{tenant}/{rest=**}", "", "a/", "rest", ""},
		{"{tenant}/{rest=**}", "", "a", "rest", ""},
		{"{tenant}/{id}", "", "/7", "id", "/7"},
		{"{tenant}/{id}", "", "a/", "id", ""},
		{"{tenant}/{id}", "", "a/7", "none", ""},
	} {
		got := parseTemplate(tt.template).below(newPrefix(tt.prefix)).guarded(tt.topic, tt.path)
		if got != tt.want {
			t.Errorf("%s of %s, %s: %q, want %q", tt.path, tt.template, tt.topic, got, tt.want)
		}
	}
}
