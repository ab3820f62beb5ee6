package outboxsql

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/internal/headerjson"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// beside is what the column of the headers holds for an entry that has more
// than headers, so that tables of earlier versions need no other column.
type beside struct {
	Headers json.RawMessage `json:"headers"`
	// RetryUnrouted in nanoseconds.
	RetryUnrouted int64 `json:"retryUnrouted"`
}

// besides is the text of that column: the list of headers alone where that is
// all, as earlier versions read it.
func besides(e *outbox.Entry) (string, error) {
	headers, err := headerjson.Encode(e.Headers)
	if err != nil || e.RetryUnrouted <= 0 {
		return headers, err
	}
	b, err := json.Marshal(beside{Headers: json.RawMessage(headers), RetryUnrouted: int64(e.RetryUnrouted)})
	return string(b), err
}

// readBesides reads what besides wrote, and what earlier versions did.
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
