package envelope

import (
	"strconv"
	"time"
)

// SentAtHeader is the user property with the time of the publish, in milliseconds since
// 1970 UTC. CloudEvents have their own attribute, "time".
const SentAtHeader = "sent-at"

const attrTime = "time"

// SentAt returns when the message was published, according to its sender, or the zero time
// if that is not known. The age of a retained message says nothing about delays, so its
// time is not known either.
func (e *Event) SentAt() time.Time {
	if e.Retain {
		return time.Time{}
	}
	header := e.Header()
	if header == nil && e.Properties != nil {
		header = e.Properties.User
	}
	if len(header) == 0 {
		return time.Time{}
	}
	if text, ok := Last(header, SentAtHeader); ok {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil && ms > 0 {
			return time.UnixMilli(ms)
		}
		return time.Time{}
	}
	text, ok := Last(header, attrTime)
	if !ok {
		if text, ok = Last(header, binaryPrefix+attrTime); !ok {
			return time.Time{}
		}
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}
	}
	return at
}

// stampSent adds the time of the publish, unless the caller set one.
func stampSent(m *Message, now time.Time) {
	if _, ok := Last(m.Props().User, SentAtHeader); !ok {
		m.addHeader(SentAtHeader, strconv.FormatInt(now.UnixMilli(), 10))
	}
}
