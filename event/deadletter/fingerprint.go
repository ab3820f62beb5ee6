package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"unicode/utf8"
)

// maxPattern is the number of bytes of a reason that make its pattern.
const maxPattern = 256

// fingerprint is that of [Letter.Fingerprint].
func fingerprint(l *Letter) string {
	of := l.Operation
	if of == "" {
		of = l.Filter
	}
	h := sha256.New()
	part(h, of)
	part(h, l.ErrorType)
	part(h, pattern(l.Reason))
	return hex.EncodeToString(h.Sum(nil)[:8])
}

// pattern is that of [Letter.Pattern].
func pattern(reason string) string {
	text := strings.ToValidUTF8(strings.ReplaceAll(reason, "\x00", ""), "")
	var b strings.Builder
	for len(text) > 0 && b.Len() < maxPattern {
		n := wordLength(text)
		word := text[:n]
		switch r, size := utf8.DecodeRuneInString(text); {
		case n > 0 && strings.ContainsAny(word, "0123456789"):
			b.WriteByte('#')
		case n > 0:
			b.WriteString(word)
		case r == '"' || r == '`':
			n = size + quotedLength(text[size:], r)
			b.WriteString("\"…\"")
		default:
			n = size
			b.WriteRune(r)
		}
		text = text[n:]
	}
	return b.String()
}

// wordLength returns the length of the word at the start of a text, 0 if there is none. The
// characters of numbers, UUIDs, addresses and times belong to a word.
func wordLength(text string) int {
	for i, r := range text {
		word := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_' || r >= utf8.RuneSelf ||
			i > 0 && strings.ContainsRune("-.+:", r)
		if !word {
			return i
		}
	}
	return len(text)
}

// quotedLength returns the length of a quoted text up to and including the closing quote, or
// to the end.
func quotedLength(text string, quote rune) int {
	escaped := false
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote == '"':
			escaped = true
		case r == quote:
			return i + utf8.RuneLen(r)
		}
	}
	return len(text)
}
