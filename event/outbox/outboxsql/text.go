package outboxsql

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// check rejects text that some database cannot store, before a transaction is used: PostgreSQL
// refuses every further statement of a transaction after an error. MQTT does not permit such
// text either [MQTT-1.5.4-1] [MQTT-1.5.4-2].
func check(e *outbox.Entry) error {
	errs := []error{e.Validate()}
	for _, field := range []struct{ name, text string }{
		{"id", e.ID}, {"key", e.Key}, {"topic", e.Topic}, {"content type", e.ContentType}, {"response topic", e.ResponseTopic},
	} {
		if !isText(field.text) {
			errs = append(errs, fmt.Errorf("outboxsql: %s of an entry is not valid UTF-8 or contains NUL", field.name))
		}
	}
	for _, h := range e.Headers {
		if !isText(h.Key) || !isText(h.Value) {
			errs = append(errs, errors.New("outboxsql: a header of an entry is not valid UTF-8 or contains NUL"))
		}
	}
	return errors.Join(errs...)
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// clean replaces what is not valid text with U+FFFD.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
