package logsafe

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "",
		"plain text, \"quoted\"": "plain text, \"quoted\"",
		"grün 日本 🙂":              "grün 日本 🙂",
		"a\nlevel=ERROR forged":  `a\nlevel=ERROR forged`,
		"a\r\nb\tc":              `a\r\nb\tc`,
		"\x1b[31mred\x1b[0m":     `\x1b[31mred\x1b[0m`,
		"\u009b31m":              `\u009b31m`,
		"a\u2028b\u2029c":        `a\u2028b\u2029c`,
		"abc\u202etxt.exe":       `abc\u202etxt.exe`,
		"\xff\xfe":               `\xff\xfe`,
		"\ufffd":                 "\ufffd",
		"proto:\u00a0cannot":     "proto: cannot",
		"\ufeff":                 `\ufeff`,
		"\x00\x7f":               `\x00\x7f`,
		"\xed\xa0\x80":           `\xed\xa0\x80`,
	} {
		if got := Line(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestShort(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "abcde": "abcde", "abcdef": "abcde...", "abcd日": "abcd...", "日日": "日...", "\xff\xff\xff\xff\xff\xff": `\xff\xff\xff\xff\xff...`,
		"\n\n\n\n\n\n": `\n\n\n\n\n...`, "\x80\x80\x80\x80\x80\x80": "...",
	} {
		if got := Short(in, 5); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestLineOfPlainTextAllocatesNothing(t *testing.T) {
	text := strings.Repeat("plain ", 20)
	if n := testing.AllocsPerRun(100, func() { _ = Line(text) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzLine checks that the result is one printable line and that escaping it
// again changes nothing.
func FuzzLine(f *testing.F) {
	for _, s := range []string{"a", "a\nb", "\x1b]0;title\a", "\xc3\x28", "\u202e", "\U000e0001"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := Line(s)
		if !utf8.ValidString(got) || strings.ContainsFunc(got, func(r rune) bool { return unicode.IsControl(r) || !unicode.IsPrint(r) }) {
			t.Fatalf("%q gives %q", s, got)
		}
		if again := Line(got); again != got {
			t.Fatalf("%q, again %q", got, again)
		}
	})
}
