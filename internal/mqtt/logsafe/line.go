// Package logsafe makes untrusted text safe to print in a log or on a terminal.
package logsafe

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns s with everything escaped, as in a Go string, that could end the
// line, move a terminal's cursor, or hide or reverse text: control characters,
// line and paragraph separators, format characters, and invalid UTF-8. A space of
// any other kind becomes a plain one: the errors of protobuf contain a no-break
// space or a plain one, which differs from build to build, and a text for people
// is to be the same. It returns plain text unchanged and without an allocation.
func Line(s string) string {
	for i, r := range s {
		if !plain(s, i, r) {
			return escape(s, i)
		}
	}
	return s
}

// Short returns the first most bytes of s as one printable line, see [Line],
// followed by "..." if s is longer. Escaping can make the result longer than
// most.
func Short(s string, most int) string {
	if len(s) <= most {
		return Line(s)
	}
	return Line(Cut(s, most)) + "..."
}

// The limits of [Message], in bytes. A line begins with the topic and ends with
// the cause, and either may be of any length.
const (
	maxHead = 3 << 10
	maxTail = 1 << 10
)

// Message returns s as one printable line, see [Line]. Of a long message it
// keeps the beginning and the end.
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

// escape escapes s from the rune at from on.
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
		if unicode.Is(unicode.Zs, r) {
			b.WriteByte(' ')
			continue
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		quoted := strconv.Quote(s[i : i+size])
		b.WriteString(quoted[1 : len(quoted)-1])
	}
	return b.String()
}
