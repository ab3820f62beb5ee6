package outboxsql

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
)

// check refuses what cannot be stored, or not in every database, before a
// transaction is touched: PostgreSQL takes nothing more in one after an error.
// MQTT does not carry such texts either [MQTT-1.5.4-1] [MQTT-1.5.4-2].
func check(e *outbox.Entry) error {
	errs := []error{e.Validate()}
	for _, field := range []struct{ name, text string }{
		{"id", e.ID}, {"key", e.Key}, {"topic", e.Topic}, {"content type", e.ContentType}, {"response topic", e.ResponseTopic},
	} {
		if !isText(field.text) {
			errs = append(errs, fmt.Errorf("outboxsql: %s of an entry is no UTF-8 or has a NUL", field.name))
		}
	}
	for _, h := range e.Headers {
		if !isText(h.Key) || !isText(h.Value) {
			errs = append(errs, errors.New("outboxsql: a header of an entry is no UTF-8 or has a NUL"))
		}
	}
	return errors.Join(errs...)
}

func isText(s string) bool { return utf8.ValidString(s) && strings.IndexByte(s, 0) < 0 }

// clean makes a text of what may be none.
func clean(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}
