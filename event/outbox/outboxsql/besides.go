package outboxsql

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/headerjson"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// beside is the content of the headers column for an entry that has more than headers, so that
// tables of earlier versions need no new column.
type beside struct {
	Headers json.RawMessage `json:"headers"`
	// RetryUnrouted in nanoseconds.
	RetryUnrouted int64 `json:"retryUnrouted"`
}

// besides returns the text of that column. If there are only headers, it is a list of headers,
// which earlier versions can read.
func besides(e *outbox.Entry) (string, error) {
	headers, err := headerjson.Encode(e.Headers)
	if err != nil || e.RetryUnrouted <= 0 {
		return headers, err
	}
	b, err := json.Marshal(beside{Headers: json.RawMessage(headers), RetryUnrouted: int64(e.RetryUnrouted)})
	return string(b), err
}

// readBesides parses the text of besides, and that of earlier versions.
func readBesides(e *outbox.Entry, text string) (err error) {
	var b beside
	if strings.HasPrefix(text, "{") {
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			return err
		}
		if b.RetryUnrouted < 0 {
			return fmt.Errorf("retryUnrouted is %d", b.RetryUnrouted)
		}
		text, e.RetryUnrouted = string(b.Headers), time.Duration(b.RetryUnrouted)
	}
	e.Headers, err = headerjson.Decode(text)
	return err
}
