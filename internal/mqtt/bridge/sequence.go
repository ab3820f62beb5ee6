package bridge

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

// User properties, and extension attributes of CloudEvents, of a message that
// is numbered.
const (
	attrSequence = "sequence"
	attrCounter  = "sequencesource"
)

// maxCounted is how many topics a sequence counts before it begins anew, under
// another name.
const maxCounted = 100_000

// sequence numbers the messages of each topic from 1, under a name of its own,
// for as long as one run of the publisher lasts.
type sequence struct {
	owner string // part of the name

	mu     sync.Mutex
	source string
	last   map[string]uint64 // by topic
	kept   map[uint64]number // of entries of an outbox, which may be sent again
}

type number struct {
	source string
	n      uint64
}

func newSequence(owner string) *sequence {
	q := &sequence{owner: clip(owner)}
	q.reset()
	return q
}

// reset begins anew.
func (q *sequence) reset() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.begin()
	q.kept = make(map[uint64]number)
}

func (q *sequence) begin() {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	q.source, q.last = hex.EncodeToString(b[:]), make(map[string]uint64)
	if q.owner != "" {
		q.source = q.owner + "-" + q.source
	}
}

// next is the number of the next message; an entry that had one keeps it.
func (q *sequence) next(topic string, entry uint64) number {
	q.mu.Lock()
	defer q.mu.Unlock()
	if n, ok := q.kept[entry]; ok {
		return n
	}
	return number{q.source, q.last[topic] + 1}
}

// take settles that a message has the number.
func (q *sequence) take(topic string, entry uint64, n number) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if entry != 0 {
		q.kept[entry] = n
	}
	if n.source != q.source || n.n <= q.last[topic] {
		return
	}
	if q.last[topic] = n.n; len(q.last) > maxCounted {
		q.begin()
	}
}

// forget is told of entries that are never sent again.
func (q *sequence) forget(entries ...uint64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, e := range entries {
		delete(q.kept, e)
	}
}

// stamp is the number of one message, however often it is sent.
type stamp struct {
	sequence *sequence
	topic    string
	entry    uint64 // in an outbox; 0 is none
	event    bool   // the payload is an event of the carrier
	number   number
	sent     bool
}

var _ client.Stamp = (*stamp)(nil)

// Apply implements [engine.Stamp].
func (s *stamp) Apply(m *client.Message, headers bool) {
	if !headers && !s.event {
		s.number = number{} // no place
		return
	}
	if !s.sent || s.number.n == 0 {
		s.number = s.sequence.next(s.topic, s.entry)
	}
	text := fmt.Sprintf("%020d", s.number.n) // in the order of texts, too
	if !headers {
		m.Payload = addAttributes(m.Payload, attrSequence, text, attrCounter, s.number.source)
		return
	}
	props := client.Properties{}
	if m.Properties != nil {
		props = *m.Properties
	}
	props.User = append(slices.Clip(props.User),
		client.UserProperty{Key: attrSequence, Value: text}, client.UserProperty{Key: attrCounter, Value: s.number.source})
	m.Properties = &props
}

// Sent implements [engine.Stamp].
func (s *stamp) Sent() {
	if s.number.n == 0 {
		return
	}
	s.sent = true
	s.sequence.take(s.topic, s.entry, s.number)
}

// addAttributes puts attributes in front of those of a structured event.
func addAttributes(event []byte, attributes ...string) []byte {
	if len(event) < 3 || event[0] != '{' { // at least one attribute follows
		return event
	}
	out := make([]byte, 1, len(event)+128)
	out[0] = '{'
	for pair := range slices.Chunk(attributes, 2) {
		for i, s := range pair {
			text, err := json.Marshal(s)
			if err != nil {
				return event
			}
			out = append(append(out, text...), ":,"[i])
		}
	}
	return append(out, event[1:]...)
}

// number has the message numbered when it is sent, where that is wanted.
func (s *state) number(m *Message, entry uint64) {
	if s.sequence == nil || m.Stamp != nil {
		return
	}
	m.Stamp = &stamp{
		sequence: s.sequence, topic: m.Topic, entry: entry,
		event: s.cloudEvents != "" && m.Properties != nil && message.FormatOf(m.Properties.ContentType) == message.FormatEvent,
	}
}

var errNumbered = errors.New("headers sequence and sequencesource belong to the sequence option")

// numberable refuses headers that would be there twice.
func (s *state) numberable(list []client.UserProperty) error {
	if s.sequence == nil {
		return nil
	}
	if slices.ContainsFunc(list, func(u client.UserProperty) bool {
		key := strings.ToLower(u.Key)
		return key == attrSequence || key == attrCounter
	}) {
		return errNumbered
	}
	return nil
}

// unplaced says once that there is no place for numbers.
func (s *state) unplaced() {
	if s.sequence != nil && s.cloudEvents == "" && s.client.Speaks() == client.Version31 {
		s.broker.unplaced.Do(func() {
			s.log.Warnf("mqtt: messages are not numbered: MQTT 3.1.1 has no place for a sequence without the CloudEvents carrier")
		})
	}
}
