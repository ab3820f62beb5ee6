package deadletter

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// ReplayedHeader is the user property that a replayed message carries, so that a letter of it,
// should it fail again, has its [Replayed]. It exists on MQTT 5 only. ReplayedMACHeader is its
// signature, if there are [SigningKeys].
const (
	ReplayedHeader    = prefix + "replayed"
	ReplayedMACHeader = prefix + "replayed-mac"
)

const (
	// MaxReplays is the highest count of replays; further ones are not counted.
	MaxReplays = 1000
	// maxEditor is the number of bytes of the name of an editor that are kept.
	maxEditor = 64
	// maxReplayed bounds the text of a Replayed: count, time, hash and name.
	maxReplayed = 4 + 1 + len(time.RFC3339Nano) + 1 + 2*sha256.Size + 1 + maxEditor
)

// Replayed is what happened to a message before it failed again. Without [SigningKeys] it is what the
// message claims, and any client that may publish on its topic can make it up. Nothing is decided
// by it.
type Replayed struct {
	// Count is the number of replays, at most [MaxReplays].
	Count int
	// Edit is the last edit before a replay; the zero value means that there was none.
	Edit Edit
}

// Edit describes how the payload of a letter was changed before it was replayed.
type Edit struct {
	// By is the name of the editor, at most 64 bytes of printable text.
	By string
	// Time is when it was done.
	Time time.Time
	// SHA256 is the hash of the payload before the first edit, in hexadecimal digits.
	SHA256 string
}

// again returns r with one more replay.
func (r Replayed) again() Replayed {
	r.Count = min(r.Count+1, MaxReplays)
	return r
}

// String returns the text form: the count, and after an edit its time, hash and editor,
// separated by spaces; "" for the zero value.
func (r Replayed) String() string {
	if r.Count <= 0 {
		return ""
	}
	text := strconv.Itoa(min(r.Count, MaxReplays))
	if r.Edit == (Edit{}) {
		return text
	}
	return text + " " + stamp(r.Edit.Time) + " " + r.Edit.SHA256 + " " + Editor(r.Edit.By)
}

// Editor returns a name as it is kept: printable, on one line, at most 64 bytes.
func Editor(name string) string {
	name = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return -1
	}, name)
	return cutTo(name, maxEditor)
}

var errReplayed = errors.New("not the text of replays")

// ParseReplayed parses the text of [Replayed.String].
func ParseReplayed(text string) (r Replayed, err error) {
	if text == "" {
		return r, nil
	}
	if len(text) > maxReplayed {
		return r, errReplayed
	}
	parts := strings.SplitN(text, " ", 4)
	n, err := strconv.ParseUint(parts[0], 10, 16)
	if err != nil || n == 0 || n > MaxReplays || len(parts) != 1 && len(parts) != 4 {
		return r, errReplayed
	}
	r.Count = int(n)
	if len(parts) == 1 {
		return r, nil
	}
	at, err := moment(parts[1])
	sum, hashErr := hex.DecodeString(parts[2])
	if err != nil || hashErr != nil || len(sum) != sha256.Size || Editor(parts[3]) != parts[3] {
		return Replayed{}, errReplayed
	}
	r.Edit = Edit{Time: at, SHA256: parts[2], By: parts[3]}
	return r, nil
}

// MarkReplayed adds the header [ReplayedHeader] to a message that is replayed, and its
// signature if there are keys. It replaces those of an earlier replay.
func (k SigningKeys) MarkReplayed(m *message.Message, r Replayed) {
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), isReplayed)
	text := r.String()
	if text == "" {
		return
	}
	m.Headers = append(m.Headers, message.Header{Key: ReplayedHeader, Value: text})
	if len(k) > 0 {
		mac := base64.RawURLEncoding.EncodeToString(replayedSum(k[0], m, text))
		m.Headers = append(m.Headers, message.Header{Key: ReplayedMACHeader, Value: mac})
	}
}

// TakeReplayed removes the headers of MarkReplayed from a message and returns what they say.
// It returns the zero value if there are none, if they are not well-formed, or if there are
// keys and none of them has signed it for this topic and payload.
func (k SigningKeys) TakeReplayed(m *message.Message) Replayed {
	text, mac := m.Header(ReplayedHeader), m.Header(ReplayedMACHeader)
	if text == "" && mac == "" {
		return Replayed{}
	}
	m.Headers = slices.DeleteFunc(slices.Clone(m.Headers), isReplayed)
	r, err := ParseReplayed(text)
	if err != nil {
		return Replayed{}
	}
	if len(k) == 0 {
		return r
	}
	signature, err := base64.RawURLEncoding.Strict().DecodeString(mac)
	if err != nil {
		return Replayed{}
	}
	for _, key := range k {
		if hmac.Equal(signature, replayedSum(key, m, text)) {
			return r
		}
	}
	return Replayed{}
}

func isReplayed(h message.Header) bool {
	return strings.EqualFold(h.Key, ReplayedHeader) || strings.EqualFold(h.Key, ReplayedMACHeader)
}

// replayedDomain separates these signatures from those of letters.
const replayedDomain = "kratos-mqtt replayed message, version 1"

func replayedSum(key []byte, m *message.Message, text string) []byte {
	h := hmac.New(sha256.New, key)
	part(h, replayedDomain)
	part(h, m.Topic)
	part(h, m.Payload)
	part(h, text)
	return h.Sum(nil)
}
