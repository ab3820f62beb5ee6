package eventimpl

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kratos-mqtt/kratos-mqtt/event"
)

// maxTopic is the maximum size of a topic in bytes [MQTT-1.5.4].
const maxTopic = 65535

// TopicBuilder builds a topic from the levels of a template. The zero value is ready to use.
// Topic returns the first error.
type TopicBuilder struct {
	buf [96]byte // most topics need no more, and then one allocation
	b   []byte
	err error
}

// Literal appends text of the template, including the slashes around it.
func (t *TopicBuilder) Literal(text string) {
	if t.b == nil {
		t.b = t.buf[:0]
	}
	t.b = append(t.b, text...)
}

// String appends the value of a parameter: one whole level. It refuses empty values, +, # and
// / anywhere, a leading $ in a level, control characters, characters that reverse text, and
// invalid UTF-8. Values are never escaped, because neither access rules nor other devices
// would understand the escaping.
func (t *TopicBuilder) String(field, value string) { t.add(field, value, false) }

// Tail appends the value of a parameter for the last levels of a topic: one or more levels.
func (t *TopicBuilder) Tail(field, value string) { t.add(field, value, true) }

// Int appends a signed integer.
func (t *TopicBuilder) Int(value int64) {
	t.Literal("")
	t.b = strconv.AppendInt(t.b, value, 10)
}

// Uint appends an unsigned integer.
func (t *TopicBuilder) Uint(value uint64) {
	t.Literal("")
	t.b = strconv.AppendUint(t.b, value, 10)
}

// Bool appends true or false.
func (t *TopicBuilder) Bool(value bool) {
	t.Literal("")
	t.b = strconv.AppendBool(t.b, value)
}

// Enum appends the name of an enum value; name is "" for a number without a name.
func (t *TopicBuilder) Enum(field, name string, number int32) {
	if name == "" {
		t.fail(field, unnamed(number))
		return
	}
	t.Literal(name)
}

// Topic returns the topic. Its error is an [*event.Error] with [event.ReasonBadTopic] and a
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

// TopicReader splits a topic along a template. It allocates memory for errors only.
type TopicReader struct {
	rest string
	err  string
}

// ReadTopic returns a reader at the start of topic.
func ReadTopic(topic string) TopicReader {
	return TopicReader{rest: topic}
}

// Literal consumes text of the template, including the slashes around it.
func (t *TopicReader) Literal(text string) {
	rest, ok := strings.CutPrefix(t.rest, text)
	if !ok {
		t.fail("does not match its template")
		return
	}
	t.rest = rest
}

// Level consumes and returns one level. It applies the rules of [TopicBuilder.String], because
// the topic comes from another client.
func (t *TopicReader) Level() string {
	level := t.rest
	if i := strings.IndexByte(level, '/'); i >= 0 {
		level = level[:i]
	}
	t.rest = t.rest[len(level):]
	t.take(level, false)
	return level
}

// Skip consumes one level without checking it.
func (t *TopicReader) Skip() {
	if i := strings.IndexByte(t.rest, '/'); i >= 0 {
		t.rest = t.rest[i:]
		return
	}
	t.rest = ""
}

// Rest consumes everything that is left.
func (t *TopicReader) Rest() { t.rest = "" }

// Tail consumes and returns everything that is left.
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

// Int consumes a level that is a signed integer of the given number of bits.
func (t *TopicReader) Int(bits int) int64 {
	v, err := strconv.ParseInt(t.Level(), 10, bits)
	if err != nil {
		t.fail("has a level that is not an integer")
	}
	return v
}

// Uint consumes a level that is an unsigned integer of the given number of bits.
func (t *TopicReader) Uint(bits int) uint64 {
	v, err := strconv.ParseUint(t.Level(), 10, bits)
	if err != nil {
		t.fail("has a level that is not an integer")
	}
	return v
}

// Bool consumes a level that is true or false.
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

// Enum consumes a level that is the name of an enum value.
func (t *TopicReader) Enum(values map[string]int32) int32 {
	v, ok := values[t.Level()]
	if !ok {
		t.fail("has a level that is not a value of its enum")
	}
	return v
}

// Err returns nil if the whole topic was consumed without an error, else an [*event.Error]
// with [event.ReasonBadTopic], which a retry cannot fix.
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

// Mismatch returns before, or, if it is empty, the name of a field whose value in the payload
// differs from that in the topic. A payload may omit the field.
func Mismatch[T comparable](before, field string, payload, topic T) string {
	var zero T
	if payload != zero && payload != topic {
		return field
	}
	return before
}
