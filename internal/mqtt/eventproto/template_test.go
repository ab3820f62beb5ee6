package eventproto

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// templates are valid and invalid seeds.
var templates = []string{
	"doors/opened", "devices/{device_id}/data", "{a}", "{a.b.c}/x", "logs/{host}/{path=**}", "{path=**}",
	"", "/", "//", "a//b", "/a", "/a/{b}", "/{a}", "//a", "/+/#", "a/", "{", "}", "{}", "{a", "a}", "x{a}", "{a}{b}", "{a=*}", "{a=**}/b", "{$a}", "{a..b}",
	"+", "#", "a/#", "a/#/b", "+/a", "a+", "$SYS/x", "$share/g/a", "$queue/a", "ä/{ö}", "a/\x00", "a/\x7f", "\xff",
	strings.Repeat("x", 65536), strings.Repeat("a/", 100) + "a",
}

func FuzzParseTemplate(f *testing.F) {
	for _, text := range templates {
		f.Add(text, false)
		f.Add(text, true)
	}
	f.Fuzz(func(t *testing.T, text string, wild bool) {
		parsed, err := ParseTemplate(text, wild)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) || syntax.Offset < 0 || syntax.Offset > len(text) || syntax.Text != text {
				t.Fatalf("%q: %#v", text, err)
			}
			return
		}
		levels := strings.Split(text, "/")
		if len(parsed.Levels) != len(levels) {
			t.Fatalf("%q has %d levels, not %d", text, len(levels), len(parsed.Levels))
		}
		for i, l := range parsed.Levels {
			if l.Offset < 0 || !strings.HasPrefix(text[l.Offset:], levels[i]) {
				t.Fatalf("%q: level %d at byte %d", text, i, l.Offset)
			}
			slash := i == 0 && levels[0] == "" // at the start
			if (l.Literal == "") == (l.Param == nil) != slash {
				t.Fatalf("%q: level %d is %+v", text, i, l)
			}
		}
		validFilter(t, parsed.Filter(), len(levels))
		if parsed.Wild() && !wild {
			t.Fatalf("%q has a wildcard", text)
		}
		again, err := ParseTemplate(parsed.Filter(), true)
		if err != nil || again.Filter() != parsed.Filter() {
			t.Fatalf("the filter %q of %q: %v", parsed.Filter(), text, err)
		}
	})
}

// validFilter checks a filter against [MQTT-4.7.1-1], [MQTT-4.7.1-2], [MQTT-4.7.3-1]
// and [MQTT-4.7.3-2].
func validFilter(t *testing.T, filter string, levels int) {
	t.Helper()
	parts := strings.Split(filter, "/")
	if filter == "" || !utf8.ValidString(filter) || strings.ContainsRune(filter, 0) || len(parts) != levels {
		t.Fatalf("filter %q", filter)
	}
	for i, p := range parts {
		if p == "#" && i < len(parts)-1 || len(p) > 1 && strings.ContainsAny(p, "+#") {
			t.Fatalf("filter %q", filter)
		}
	}
}
