package eventimpl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// maxTopic is the largest topic in bytes [MQTT-1.5.4].
const maxTopic = 65535

// TopicBuilder makes a topic of the levels of a template. The
// zero value is ready. The first problem wins and is
// returned by Topic.
type TopicBuilder struct {
	buf [96]byte // most topics need no more, and then one allocation
	b   []byte
	err error
}

// Literal adds text of the template, with the slashes around it.
func (t *TopicBuilder) Literal(text string) {
	if t.b == nil {
		t.b = t.buf[:0]
	}
	t.b = append(t.b, text...)
}

// String adds the value of a parameter: one whole level. Empty values, + # / at
// any place, a $ that begins a level, control characters, marks that turn text around
// and invalid UTF-8 are refused, never escaped: access rules and foreign devices would
// not understand it.
func (t *TopicBuilder) String(field, value string) { t.add(field, value, false) }

// Tail adds the value of a parameter that takes the rest: one or more levels.
func (t *TopicBuilder) Tail(field, value string) { t.add(field, value, true) }

// Int adds a signed integer.
func (t *TopicBuilder) Int(value int64) {
	t.Literal("")
	t.b = strconv.AppendInt(t.b, value, 10)
}

// Uint adds an unsigned integer.
func (t *TopicBuilder) Uint(value uint64) {
	t.Literal("")
	t.b = strconv.AppendUint(t.b, value, 10)
}

// Bool adds true or false.
func (t *TopicBuilder) Bool(value bool) {
	t.Literal("")
	t.b = strconv.AppendBool(t.b, value)
}

// Enum adds the name of a value; name is "" for a number that has none.
func (t *TopicBuilder) Enum(field, name string, number int32) {
	if name == "" {
		t.fail(field, unnamed(number))
		return
	}
	t.Literal(name)
}

// Topic is the topic, or why there is none: an [*event.Error] of [event.ReasonBadTopic] with a
// [*event.ParameterError], which names field, character and rule.
func (t *TopicBuilder) Topic() (string, error) {
	if t.err == nil && len(t.b) > maxTopic {
		t.fail("", &event.ParameterError{Problem: fmt.Sprintf("topic of %d bytes", len(t.b)), Rule: ruleTooLong})
	}
	if t.err != nil {
		return "", t.err
	}
	return string(t.b), nil
}

func (t *TopicBuilder) add(field, value string, tail bool) {
	t.Literal("")
	if problem := badLevel(value, tail); problem != nil {
		t.fail(field, problem)
		return
	}
	t.b = append(t.b, value...)
}

func (t *TopicBuilder) fail(field string, problem *event.ParameterError) {
	if t.err != nil {
		return
	}
	problem.Field = field
	t.err = &event.Error{Op: "publish", Reason: event.ReasonBadTopic, Cause: problem}
}

type topicError string

func (e topicError) Error() string { return string(e) }

// TopicReader takes a topic apart along a template. It
// allocates nothing but errors.
type TopicReader struct {
	rest string
	err  string
}

// ReadTopic begins with the whole topic.
func ReadTopic(topic string) TopicReader {
	return TopicReader{rest: topic}
}

// Literal takes text of the template away, with the slashes around it.
func (t *TopicReader) Literal(text string) {
	rest, ok := strings.CutPrefix(t.rest, text)
	if !ok {
		t.fail("does not match its template")
		return
	}
	t.rest = rest
}

// Level takes one level away, which must be one that [TopicBuilder.String]
// could have made: it comes from outside.
func (t *TopicReader) Level() string {
	level := t.rest
	if i := strings.IndexByte(level, '/'); i >= 0 {
		level = level[:i]
	}
	t.rest = t.rest[len(level):]
	t.take(level, false)
	return level
}

// Skip takes one level away that nobody wants to know.
func (t *TopicReader) Skip() {
	if i := strings.IndexByte(t.rest, '/'); i >= 0 {
		t.rest = t.rest[i:]
		return
	}
	t.rest = ""
}

// Rest takes everything away.
func (t *TopicReader) Rest() { t.rest = "" }

// Tail takes the rest away, and returns it.
func (t *TopicReader) Tail() string {
	tail := t.rest
	t.rest = ""
	t.take(tail, true)
	return tail
}

// take checks the value of a parameter.
func (t *TopicReader) take(value string, tail bool) {
	if problem := badLevel(value, tail); problem != nil {
		t.fail("has a level that " + problem.Error())
	}
}

// Int takes a level that is a signed integer of so many bits.
func (t *TopicReader) Int(bits int) int64 {
	v, err := strconv.ParseInt(t.Level(), 10, bits)
	if err != nil {
		t.fail("has a level that is no integer")
	}
	return v
}

// Uint takes a level that is an unsigned integer of so many bits.
func (t *TopicReader) Uint(bits int) uint64 {
	v, err := strconv.ParseUint(t.Level(), 10, bits)
	if err != nil {
		t.fail("has a level that is no integer")
	}
	return v
}

// Bool takes a level that is true or false.
func (t *TopicReader) Bool() bool {
	switch t.Level() {
	case "true":
		return true
	case "false":
		return false
	}
	t.fail("has a level that is neither true nor false")
	return false
}

// Enum takes a level that is the name of a value.
func (t *TopicReader) Enum(values map[string]int32) int32 {
	v, ok := values[t.Level()]
	if !ok {
		t.fail("has a level that is no value of its enum")
	}
	return v
}

// Err is nil when the whole topic was taken apart, else an [*event.Error] of
// [event.ReasonBadTopic]: no retry helps.
func (t *TopicReader) Err() error {
	if t.err == "" && t.rest != "" {
		t.fail("does not match its template")
	}
	if t.err == "" {
		return nil
	}
	return &event.Error{Op: "decode", Reason: event.ReasonBadTopic, Cause: topicError("topic " + t.err)}
}

func (t *TopicReader) fail(problem string) {
	if t.err == "" {
		t.err = problem
	}
}

// Mismatch names a field whose value in the payload is not that of the topic; a
// payload may leave the field out.
func Mismatch[T comparable](before, field string, payload, topic T) string {
	var zero T
	if payload != zero && payload != topic {
		return field
	}
	return before
}
