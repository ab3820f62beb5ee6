package deadletter

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Omitted says what a letter does not have of its message, because it was over
// a limit or the store did not take it as it was. Such a letter tells an
// operator what there was; it cannot be replayed.
type Omitted struct {
	// Size is that of the payload in bytes; 0 is no payload, or none that is
	// missing.
	Size int64
	// SHA256 is the hash of the payload in hexadecimal digits, by which it may be
	// found elsewhere; "" is not known.
	SHA256 string
	// More is set when also headers are missing, and texts are cut or escaped.
	More bool
}

// String says in words what is missing; "" is nothing.
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

// maxText is what the smallest form keeps of each text, in bytes.
const maxText = 256

// Smaller returns the letter in the next smaller form: without its payload, of
// which size and hash stay, and after that without headers and with texts cut
// to 256 bytes, which is 4 KiB at most. It returns nil when there is none. l
// stays as it is.
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

// shorten leaves out what the smallest form does not have, and reports whether
// there was any of it.
func (l *Letter) shorten() (changed bool) {
	changed = len(l.Headers) > 0 || len(l.CorrelationData) > 0 || l.ContentType != "" || l.ResponseTopic != ""
	l.Headers, l.CorrelationData, l.ContentType, l.ResponseTopic = nil, nil, "", ""
	for _, text := range []*string{&l.Topic, &l.EventID, &l.Filter, &l.Key, &l.Owner, &l.Service, &l.Reason} {
		short := cut(*text)
		changed = changed || short != *text
		*text = short
	}
	return changed
}

func cut(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD")
	if len(text) <= maxText {
		return text
	}
	n := maxText
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// Over reports whether the time of a parked letter is over, with a tenth of it
// as a margin: then its owner does not come back, and whoever shares the store
// may make a dead letter of it, or replay it.
func (l *Letter) Over(now time.Time) bool {
	return l.State == Parked && !l.Until.IsZero() && now.After(l.Until.Add(l.Until.Sub(l.Received)/10))
}
