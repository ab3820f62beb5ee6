package deadletter

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// prefix is the prefix of the user properties that contain the metadata of the letter. A
// header of the original message that starts with it is escaped with escape.
const (
	prefix = "dead-letter-"
	escape = prefix + "header-"
	// macName is the name of the signature.
	macName = "mac"
)

// metadata returns the fields of the letter except the message, as text; both formats contain
// them. Times are RFC 3339, durations are in milliseconds.
func (l *Letter) metadata() [][2]string {
	state := string(l.State)
	if l.State == Dead {
		state = "" // published letters are always dead
	}
	all := [][2]string{
		{"id", l.ID},
		{"topic", l.Topic},
		{"reason", l.Reason},
		{"attempts", number(l.Attempts)},
		{"time", stamp(l.Time)},
		{"received", stamp(l.Received)},
		{"event-id", l.EventID},
		{"filter", l.Filter},
		{"key", l.Key},
		{"service", l.Service},
		{"operation", l.Operation},
		{"error-type", l.ErrorType},
		{"replayed", l.Replayed.String()},
		{"state", state},
		{"owner", l.Owner},
		{"qos", number(int(l.QoS))},
		{"retain", flag(l.Retain)},
		{"expiry", number(int(l.Expiry / time.Millisecond))},
		{"until", stamp(l.Until)},
		{"omitted-size", number(int(l.Omitted.Size))},
		{"omitted-sha256", l.Omitted.SHA256},
		{"omitted-more", flag(l.Omitted.More)},
		{macName, l.MAC},
	}
	return slices.DeleteFunc(all, func(kv [2]string) bool { return kv[1] == "" })
}

// set sets a field from its text in metadata. It ignores unknown names, which later versions
// may add.
func (l *Letter) set(name, value string) (err error) {
	switch strings.ToLower(name) {
	case "id":
		l.ID = value
	case "topic":
		l.Topic = value
	case "reason":
		l.Reason = value
	case "attempts":
		var n uint64
		n, err = strconv.ParseUint(value, 10, 31)
		l.Attempts = int(n)
	case "time":
		l.Time, err = moment(value)
	case "received":
		l.Received, err = moment(value)
	case "event-id":
		l.EventID = value
	case "filter":
		l.Filter = value
	case "key":
		l.Key = value
	case "service":
		l.Service = value
	case "operation":
		l.Operation = value
	case "error-type":
		l.ErrorType = value
	case "replayed":
		l.Replayed, err = ParseReplayed(value)
	case "state":
		l.State = State(value)
	case "owner":
		l.Owner = value
	case "qos":
		var n uint64
		if n, err = strconv.ParseUint(value, 10, 8); n > 2 {
			err = fmt.Errorf("QoS %d", n)
		}
		l.QoS = byte(n)
	case "retain":
		l.Retain = value == "true"
	case "until":
		l.Until, err = moment(value)
	case "omitted-size":
		l.Omitted.Size, err = size(value)
	case "omitted-sha256":
		l.Omitted.SHA256 = value
	case macName:
		l.MAC = value
	case "omitted-more":
		l.Omitted.More = value == "true"
	case "expiry":
		var ms uint64
		ms, err = strconv.ParseUint(value, 10, 43) // fits a Duration
		l.Expiry = time.Duration(ms) * time.Millisecond
	}
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrNoLetter, name, err)
	}
	return nil
}

// properties returns the MQTT 5 format: the original message with the metadata, followed by
// the original headers, as user properties.
func (l *Letter) properties() *message.Message {
	m := l.Message
	m.Topic, m.QoS, m.Retain, m.Expiry = "", 1, false, 0
	m.Headers = make([]message.Header, 0, len(l.Headers)+16)
	for _, kv := range l.metadata() {
		m.Headers = append(m.Headers, message.Header{Key: prefix + kv[0], Value: kv[1]})
	}
	for _, h := range l.Headers {
		if _, ours := cutPrefix(h.Key, prefix); ours {
			h.Key = escape + h.Key
		}
		m.Headers = append(m.Headers, h)
	}
	return &m
}

func (l *Letter) fromProperties(m *message.Message) error {
	l.Message = *m
	l.QoS, l.Retain, l.Expiry, l.Headers = 0, false, 0, nil
	for _, h := range m.Headers {
		if original, ok := cutPrefix(h.Key, escape); ok {
			l.Headers = append(l.Headers, message.Header{Key: original, Value: h.Value})
			continue
		}
		name, ours := cutPrefix(h.Key, prefix)
		if !ours {
			l.Headers = append(l.Headers, h)
			continue
		}
		if err := l.set(name, h.Value); err != nil {
			return err
		}
	}
	return nil
}

// cutPrefix is strings.CutPrefix without regard to case, for names of headers.
func cutPrefix(key, start string) (rest string, found bool) {
	if len(key) < len(start) || !strings.EqualFold(key[:len(start)], start) {
		return key, false
	}
	return key[len(start):], true
}

// number, like size and stamp, returns "" for zero, so that the entry is omitted.
func number(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// size parses a size in bytes.
func size(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

func flag(set bool) string {
	if set {
		return "true"
	}
	return ""
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339Nano)
}

// moment parses the text of stamp.
func moment(text string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339Nano, text)
	if t = t.UTC(); t.Year() < 0 || t.Year() > 9999 {
		return time.Time{}, fmt.Errorf("year %d", t.Year())
	}
	return t, err
}
