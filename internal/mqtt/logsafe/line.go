// Package logsafe makes the text of strangers fit for a line of a log or of a
// terminal.
package logsafe

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

// Line returns s with everything escaped, as in a Go string, that could end the
// line, move a terminal's cursor, hide or reverse text: control characters, line
// and paragraph separators, format characters, and bytes that are no UTF-8.
// Plain text comes back as it is, without an allocation.
func Line(s string) string {
	for i, r := range s {
		if !plain(s, i, r) {
			return escape(s, i)
		}
	}
	return s
}

// Short is [Line] of the first most bytes of s, with "..." where more follows.
// An escaped text may be longer than that.
func Short(s string, most int) string {
	if len(s) <= most {
		return Line(s)
	}
	return Line(Cut(s, most)) + "..."
}

// How much of a long message is logged, in bytes: the topic comes first in a line
// and the cause last, and either may be as long as a stranger likes.
const (
	maxHead = 3 << 10
	maxTail = 1 << 10
)

// Message is [Line] of a message, of a long one of its head and its tail.
func Message(s string) string {
	if len(s) <= maxHead+maxTail {
		return Line(s)
	}
	return Short(s, maxHead) + Line(s[len(s)-maxTail:])
}

func plain(s string, i int, r rune) bool {
	if r == utf8.RuneError {
		return strings.HasPrefix(s[i:], string(utf8.RuneError))
	}
	return r == ' ' || strconv.IsPrint(r)
}

// escape escapes from the first rune on that needs it.
func escape(s string, from int) string {
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:from])
	for i, r := range s[from:] {
		i += from
		if plain(s, i, r) {
			b.WriteRune(r)
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		quoted := strconv.Quote(s[i : i+size])
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}
