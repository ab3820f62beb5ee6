package logsafe

import (
	"unicode/utf8"
)

// Cut returns the first most bytes of s at most, and ends before the character that
// has no room. It escapes nothing.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// Clip keeps a bad topic from filling an error or a log: it returns the first 128 bytes
// of s, with "..." where more follows. It escapes nothing.
func Clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// maxText is the longest text that [Text] returns, in bytes.
const maxText = 1 << 10

// Text returns the text of an error, or of a stranger, as it is kept: as one printable
// line of 1 KiB at most.
func Text(s string) string { return Within(s, maxText) }

// Within is [Line] of the beginning of s, in most bytes at most.
func Within(s string, most int) string { return Cut(Line(Cut(s, most)), most) }
