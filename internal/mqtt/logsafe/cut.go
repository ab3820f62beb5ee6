package logsafe

import (
	"unicode/utf8"
)

// Cut returns at most the first most bytes of s and never cuts a character in
// two. It escapes nothing.
func Cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 0 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// Clip returns the first 128 bytes of s, followed by "..." if s is longer, so
// that a bad topic does not fill an error or a log. It escapes nothing.
func Clip(s string) string {
	const most = 128
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}

// maxText is the longest text that [Text] returns, in bytes.
const maxText = 1 << 10

// Text returns untrusted text or the text of an error as one printable line of
// at most 1 KiB.
func Text(s string) string { return Within(s, maxText) }

// Within returns the beginning of s as one printable line, see [Line], of at
// most most bytes.
func Within(s string, most int) string { return Cut(Line(Cut(s, most)), most) }
