// Package terminal has what commands share about their output: text that is safe to show, and
// progress.
package terminal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable returns a text as one line without what could move the cursor or change how other
// text is shown: topics and payloads come from anybody.
func Printable(s string) string {
	if plain(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case hostile(r):
			return utf8.RuneError
		}
		return r
	}, s)
}

// JSON returns a JSON text whose strings have the characters of [Printable] as escapes. The
// value stays the same.
func JSON(text []byte) []byte {
	if plain(string(text)) {
		return text
	}
	safe := make([]byte, 0, len(text)+16)
	for _, r := range string(text) {
		if hostile(r) && r != '\n' && r != '\t' && r != '\r' {
			safe = appendEscape(safe, r)
			continue
		}
		safe = utf8.AppendRune(safe, r)
	}
	return safe
}

// appendEscape appends \uXXXX: all hostile characters are below U+10000.
func appendEscape(to []byte, r rune) []byte {
	const digits = "0123456789abcdef"
	return append(to, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

func plain(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f {
			return false
		}
	}
	return true
}

func hostile(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == 0x2028 || r == 0x2029
}
