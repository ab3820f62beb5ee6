package eventimpl_test

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"

	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
)

// levels are values of parameters and why they are refused, as one level and as
// the rest of a topic; "" is taken.
var levels = []struct{ value, level, tail string }{
	{"kitchen", "", ""},
	{"ä 世界", "", ""},
	{"a$b", "", ""},
	{"", "is empty", "is empty"},
	{"a/b", "contains /", ""},
	{"a//b", "contains /", "has an empty level"},
	{"/a", "contains /", "has an empty level"},
	{"a/", "contains /", "has an empty level"},
	{"a+", "wildcard +", "wildcard +"},
	{"#", "wildcard #", "wildcard #"},
	{"a\x00", "control character", "control character"},
	{"a\x7f", "control character", "control character"},
	{"a\u0085", "control character", "control character"},
	{"a\ufffe", "non-character", "non-character"},
	{"a\ufdd0", "non-character", "non-character"},
	{"a\xff", "UTF-8", "UTF-8"},
	{"$SYS", "begins with $", "begins with $"},
	{"a/$b", "contains /", "begins with $"},
	{"\u202ednuor", "hidden character U+202E", "hidden character U+202E"},
	{"a\u2066b", "hidden character U+2066", "hidden character U+2066"},
	{"a\u061c", "hidden character U+061C", "hidden character U+061C"},
	{"a\u2029", "hidden character U+2029", "hidden character U+2029"},
	{"\u202eä", "hidden character", "hidden character"},
}

// TestParameters passes the values to builders and readers, after a literal.
func TestParameters(t *testing.T) {
	t.Parallel()
	for _, c := range levels {
		var level, tail eventimpl.TopicBuilder
		level.Literal("x/")
		level.String("id", c.value)
		topic, err := level.Topic()
		refused(t, "x/"+c.value, topic, err, c.level)
		tail.Literal("x/")
		tail.Tail("id", c.value)
		topic, err = tail.Topic()
		refused(t, "x/"+c.value, topic, err, c.tail)

		rest := eventimpl.ReadTopic("x/" + c.value)
		rest.Literal("x/")
		got := rest.Tail()
		refused(t, c.value, got, rest.Err(), c.tail)
		one := eventimpl.ReadTopic("x/" + c.value)
		one.Literal("x/")
		if got := one.Level(); c.level == "" && got != c.value {
			t.Errorf("the level of x/%s is %q", c.value, got)
		}
		if err := one.Err(); (err != nil) != (c.level != "") {
			t.Errorf("the level of x/%q: %v", c.value, err)
		}
	}
}

// refused wants an error of a bad topic, or the value.
func refused(t *testing.T, want, got string, err error, problem string) {
	t.Helper()
	if problem == "" {
		if err != nil || got != want {
			t.Errorf("%q: got %q, %v", want, got, err)
		}
		return
	}
	var e *event.Error
	if !errors.As(err, &e) || e.Reason != event.ReasonBadTopic || !strings.Contains(err.Error(), problem) {
		t.Errorf("%q: err = %v, want %s", want, err, problem)
	}
}

// TestDollar keeps what begins with $ to the broker, both ways [MQTT-4.7.2-1].
func TestDollar(t *testing.T) {
	t.Parallel()
	var b eventimpl.TopicBuilder
	b.String("id", "$SYS")
	b.Literal("/x")
	topic, err := b.Topic()
	refused(t, "$SYS/x", topic, err, "begins with $")
	r := eventimpl.ReadTopic("$SYS/x")
	r.Level()
	r.Literal("/x")
	refused(t, "$SYS/x", "", r.Err(), "begins with $")
	r = eventimpl.ReadTopic("$own/x") // of a template that says so
	r.Literal("$own/")
	refused(t, "x", r.Level(), r.Err(), "")
}

// TestNumbers reads levels that are not numbers, or too large for their field.
func TestNumbers(t *testing.T) {
	t.Parallel()
	for topic, ok := range map[string]bool{
		"-2147483648": true, "2147483647": true, "2147483648": false, "": false, "x": false, "1.0": false, "0x1": false, "1_0": false, "1/2": false,
	} {
		r := eventimpl.ReadTopic(topic)
		r.Int(32)
		if err := r.Err(); (err == nil) != ok {
			t.Errorf("%q: %v", topic, err)
		}
	}
	for _, topic := range []string{"-1", "4294967296"} {
		r := eventimpl.ReadTopic(topic)
		r.Uint(32)
		if r.Err() == nil {
			t.Errorf("%q is taken", topic)
		}
	}
	r := eventimpl.ReadTopic("yes")
	if r.Bool(); r.Err() == nil {
		t.Error("yes is a bool")
	}
}

// TestLongTopic refuses what has no length on the wire [MQTT-1.5.4].
func TestLongTopic(t *testing.T) {
	t.Parallel()
	for n, problem := range map[int]string{65533: "", 65534: "65536 bytes"} {
		var b eventimpl.TopicBuilder
		b.Literal("x/")
		b.String("id", strings.Repeat("a", n))
		topic, err := b.Topic()
		refused(t, "x/"+strings.Repeat("a", n), topic, err, problem)
	}
	var b eventimpl.TopicBuilder
	b.Enum("kind", "", 7)
	topic, err := b.Topic()
	refused(t, "", topic, err, "enum value 7 has no name")
}

// reports.md C13: an invalid parameter names field, character and rule, in the
// error and in the metadata of the Kratos error that HTTP and gRPC show.
func TestParameterError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ value, character, rule string }{
		{"a+b", "+", "a topic to publish to has no + and no # [MQTT-4.7.1-1]"},
		{"a/b", "/", "the value is one level of a topic, and / separates levels"},
		{"", "", "no level of a topic is empty"},
		{"$a", "$", "levels that begin with $ are the broker's own [MQTT-4.7.2-1]"},
		{"a\x00", "U+0000", "a topic has no control characters and no non-characters of Unicode [MQTT-1.5.4-1]"},
		{"a\u0085", "U+0085", "a topic has no control characters and no non-characters of Unicode [MQTT-1.5.4-1]"},
		{"a\U0001FFFF", "U+1FFFF", "a topic has no control characters and no non-characters of Unicode [MQTT-1.5.4-1]"},
		{"a\u202Eb", "U+202E", "a topic has no characters that reverse text or end a line, as they would disguise it"},
		{"\u200F", "U+200F", "a topic has no characters that reverse text or end a line, as they would disguise it"},
		{"a\u2028", "U+2028", "a topic has no characters that reverse text or end a line, as they would disguise it"},
		{"s3cr3t\xff", "", "a topic is valid UTF-8 [MQTT-1.5.4-1]"},
	} {
		var b eventimpl.TopicBuilder
		b.String("site.id", c.value)
		_, err := b.Topic()
		p, ok := errors.AsType[*event.ParameterError](err)
		if !ok || p.Field != "site.id" || p.Character != c.character || p.Rule != c.rule {
			t.Errorf("%q: %+v in %v", c.value, p, err)
		}
		k := kerrors.FromError(fmt.Errorf("in biz: %w", err))
		want := map[string]string{"field": "site.id", "character": c.character, "rule": c.rule}
		if c.character == "" {
			delete(want, "character")
		}
		if k.Code != 400 || k.Reason != "BAD_TOPIC" || !maps.Equal(k.Metadata, want) {
			t.Errorf("%q: %+v", c.value, k)
		}
		for _, part := range []string{"field site.id ", c.character, c.rule} {
			if !strings.Contains(k.Message, part) || !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %s is not in %s, %v", c.value, part, k.Message, err)
			}
		}
		if strings.Contains(k.Message+err.Error(), "s3cr3t") {
			t.Errorf("the value is in %v", err)
		}
	}
}
