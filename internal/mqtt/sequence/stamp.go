package sequence

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// stamp is the number of one message, however often it is sent.
type stamp struct {
	numbers *Numbers
	topic   string
	entry   uint64 // in an outbox; 0 means no entry
	place   func(payload []byte, attributes ...string) []byte
	number  number
	sent    bool
}

var _ session.Stamp = (*stamp)(nil)

// Stamp returns a stamp that numbers a message of the topic when it is sent. An entry of
// an outbox has the same number each time it is sent; entry is 0 for other messages. If
// the broker takes no user properties, place puts the attributes, as alternating names and
// values, into the payload; if place is nil the message has no number.
func (q *Numbers) Stamp(topic string, entry uint64, place func(payload []byte, attributes ...string) []byte) session.Stamp {
	return &stamp{numbers: q, topic: topic, entry: entry, place: place}
}

// Apply implements [session.Stamp].
func (s *stamp) Apply(m *session.Message, headers bool) {
	if !headers && s.place == nil {
		s.number = number{}
		return
	}
	if !s.sent || s.number.n == 0 {
		s.number = s.numbers.next(s.topic, s.entry)
	}
	text := fmt.Sprintf("%020d", s.number.n) // in the order of texts, too
	if !headers {
		m.Payload = s.place(m.Payload, Number, text, Source, s.number.source)
		return
	}
	props := session.Properties{}
	if m.Properties != nil {
		props = *m.Properties
	}
	props.User = append(slices.Clip(props.User),
		session.UserProperty{Key: Number, Value: text}, session.UserProperty{Key: Source, Value: s.number.source})
	m.Properties = &props
}

// Sent implements [session.Stamp].
func (s *stamp) Sent() {
	if s.number.n == 0 {
		return
	}
	s.sent = true
	s.numbers.take(s.topic, s.entry, s.number)
}

var errNumbered = errors.New("headers sequence and sequencesource belong to the sequence option")

// Check refuses user properties that would be there twice.
func Check(list []session.UserProperty) error {
	if slices.ContainsFunc(list, func(u session.UserProperty) bool {
		key := strings.ToLower(u.Key)
		return key == Number || key == Source
	}) {
		return errNumbered
	}
	return nil
}
