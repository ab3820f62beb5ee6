package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Omitted describes the parts of the message that a letter does not contain, because it
// exceeded a limit or the store did not accept it unchanged. Such a letter shows an operator
// what was received, but cannot be replayed.
type Omitted struct {
	// Size is the size of the omitted payload in bytes; 0 if no payload was omitted.
	Size int64
	// SHA256 is the hash of the omitted payload in hexadecimal digits, by which it can be
	// identified elsewhere; "" if unknown.
	SHA256 string
	// More is set if headers are missing too, and texts are truncated or escaped.
	More bool
}

// String describes what is missing, or returns "" if nothing is.
func (o Omitted) String() string {
	if o == (Omitted{}) {
		return ""
	}
	var parts []string
	if o.Size > 0 {
		parts = append(parts, fmt.Sprintf("payload of %d bytes", o.Size))
	}
	if o.SHA256 != "" {
		parts = append(parts, "SHA-256 "+o.SHA256)
	}
	if o.More {
		parts = append(parts, "headers or texts")
	}
	return strings.Join(parts, ", ")
}

// maxText is the size in bytes to which the smallest form truncates each text.
const maxText = 256

// Smaller returns a copy of the letter in the next smaller form: first without its payload, of
// which size and hash remain; then also without headers and with texts truncated to 256 bytes,
// which is at most 4 KiB. It returns nil if there is no smaller form. l is not changed.
func (l *Letter) Smaller() *Letter {
	c := *l
	switch {
	case len(l.Payload) > 0:
		sum := sha256.Sum256(l.Payload)
		c.Omitted.Size, c.Omitted.SHA256 = int64(len(l.Payload)), hex.EncodeToString(sum[:])
		c.Payload = nil
	case l.Omitted.More && !c.shorten():
		return nil
	default:
		c.shorten()
		c.Omitted.More = true
	}
	return &c
}

// shorten removes what the smallest form does not contain, and reports whether anything was
// removed.
func (l *Letter) shorten() (changed bool) {
	changed = len(l.Headers) > 0 || len(l.CorrelationData) > 0 || l.ContentType != "" || l.ResponseTopic != ""
	l.Headers, l.CorrelationData, l.ContentType, l.ResponseTopic = nil, nil, "", ""
	for _, text := range []*string{&l.Topic, &l.EventID, &l.Filter, &l.Key, &l.Owner, &l.Service, &l.Reason, &l.Operation, &l.ErrorType} {
		short := cut(*text)
		changed = changed || short != *text
		*text = short
	}
	return changed
}

func cut(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
	return cutTo(text, maxText)
}

// cutTo truncates a valid text to n bytes, between characters.
func cutTo(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// Over reports whether the time of a parked letter, plus a margin of a tenth, is over. Its
// owner is then assumed to be gone, and any process that shares the store may replay it or
// turn it into a dead letter.
func (l *Letter) Over(now time.Time) bool {
	return l.State == Parked && !l.Until.IsZero() && now.After(l.Until.Add(l.Until.Sub(l.Received)/10))
}
