package display_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/decode"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/eventproto"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/display"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/schema"
)

// kinds are messages of all kinds of fields, in the folder of package simulate.
func kinds(t *testing.T) (*protoregistry.Files, eventproto.Methods) {
	t.Helper()
	files, err := schema.Load(t.Context(), "../simulate/testdata/kinds.proto")
	if err != nil {
		t.Fatal(err)
	}
	methods, err := eventproto.OpenMethods(files)
	if err != nil {
		t.Fatal(err)
	}
	return files, methods
}

func encode(t *testing.T, files *protoregistry.Files, text string) []byte {
	t.Helper()
	d := decode.New(files)
	in, err := d.Input("/kinds.v1.KindsEvents/All")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Unmarshal(text, in); err != nil {
		t.Fatal(err)
	}
	return marshal(t, in)
}

func marshal(t *testing.T, m *dynamicpb.Message) []byte {
	t.Helper()
	payload, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return payload
}

func arrival(topic string, payload []byte) display.Arrival {
	return display.Arrival{Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Published: message.Message{Topic: topic, QoS: 1, Payload: payload}, Data: payload}
}

// Conditions see the types of a protobuf message, exact numbers of JSON, and texts.
func TestCondition(t *testing.T) {
	t.Parallel()
	files, methods := kinds(t)
	reader := display.NewReader(files, methods, nil)
	a := arrival("kinds/u1/STATE_ON/1/true/rest", encode(t, files, `{"state":"STATE_ON","count":"18446744073709551615","uptime":"90s","values":{"3":1.5},"inner":{"unit_id":"u1"},"wrapped":2.5}`))
	a.Headers = []message.Header{{Key: "site", Value: "west"}}
	typed := reader.Read(a)
	large := reader.Read(arrival("json", []byte(`{"n":9007199254740993,"f":1.5,"list":[{"a":null}]}`)))
	text := reader.Read(arrival("text", []byte("on")))
	for _, test := range []struct {
		m          *display.Message
		expression string
		want       bool
	}{
		{typed, `payload.count == 18446744073709551615u && payload.state == 1 && payload.uptime > duration("1m")`, true},
		{typed, `payload.values[3] == 1.5 && payload.inner.unit_id == "u1" && !has(payload.version) && payload.wrapped == 2.5`, true},
		{typed, `headers["site"] == "west" && operation.endsWith("/All") && decoder == "proto kinds.v1.Kinds"`, true},
		{typed, `qos == 1 && !retained && !duplicate && size > 20 && time < timestamp("2027-01-01T00:00:00Z")`, true},
		{large, `payload.n == 9007199254740993 && payload.n != 9007199254740992 && payload.f > 1 && payload.list[0].a == null`, true},
		{large, `operation == "" && decoder == "json" && topic.matches("^js")`, true},
		{text, `payload == "on" && payload.upperAscii() == "ON"`, true},
		{text, `payload == "off"`, false},
	} {
		c, err := display.NewCondition(test.expression, files)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.Holds(test.m); got != test.want || err != nil {
			t.Errorf("%s: %v, %v, want %v", test.expression, got, err, test.want)
		}
	}
	c, err := display.NewCondition(`payload.none > 1`, files)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Holds(large); got || err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("a missing field: %v, %v", got, err)
	}
	c, err = display.NewCondition(`[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, [1,2,3,4,5,6,7,8,9,10].all(d, [1,2,3,4,5,6,7,8,9,10].all(e, [1,2,3,4,5,6,7,8,9,10].all(f, a*b*c*d*e*f > 0))))))`, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Holds(text); err == nil || !strings.Contains(err.Error(), "cost limit") {
		t.Errorf("an expensive condition: %v", err)
	}
}

// The memory of a history is bounded whatever the messages are.
func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	reader := display.NewReader(new(protoregistry.Files), nil, nil)
	h := display.NewHistory()
	long := strings.Repeat("k", 100_000)
	for name, payload := range map[string]string{
		"deep":  strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"many":  "[" + strings.Repeat("1,", 100_000) + "1]",
		"paths": `{"` + long + `":{"a":` + strings.Repeat(`{"`+long+`":`, 5) + `[1,2,3` + strings.Repeat(`]`, 1) + strings.Repeat("}", 5) + `}}`,
		"large": `"` + strings.Repeat("x", 1<<20) + `"`,
	} {
		began := time.Now()
		for range 2 {
			m := reader.Read(arrival(name, []byte(payload)))
			if m.Decoder != decode.JSON {
				t.Fatalf("%s: %s", name, m.Decoder)
			}
			h.Compare(m)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: %v", name, took)
		}
	}
	first := reader.Read(arrival("first", []byte(`{"a":1}`)))
	h.Compare(first)
	for i := range 10_000 {
		h.Compare(reader.Read(arrival(fmt.Sprint("other/", i), []byte("1"))))
	}
	again := reader.Read(arrival("first", []byte(`{"a":2}`)))
	if h.Compare(again); again.Changes != nil {
		t.Errorf("the first of 10,001 topics is remembered: %v", again.Changes)
	}
	for i := range 14 {
		h.Compare(reader.Read(arrival(fmt.Sprint("large/", i), []byte(`"`+strings.Repeat("x", 5<<20)+`"`))))
	}
	again = reader.Read(arrival("large/0", []byte(`""`)))
	if h.Compare(again); again.Changes != nil {
		t.Error("70 MiB are remembered")
	}
}

// A message of several operations is shown as the one that it is; --operation decides alone.
func TestReaderChooses(t *testing.T) {
	t.Parallel()
	files, methods := kinds(t)
	as, err := methods.Named("All")
	if err != nil {
		t.Fatal(err)
	}
	payload := encode(t, files, `{"state":"STATE_ON"}`)
	if m := display.NewReader(files, methods, as).Read(arrival("elsewhere", payload)); m.Operation != as.Operation || m.Text() != `{"state":"STATE_ON"}` {
		t.Errorf("%+v", m)
	}
	m := display.NewReader(files, methods, nil).Read(arrival("kinds/u1/STATE_ON/1/true/rest", []byte{0xff}))
	if m.Decoder != decode.Raw || m.Operation != as.Operation || !strings.Contains(m.Note, "not a message kinds.v1.Kinds") || m.Payload != nil || !bytes.Equal(m.Bytes, []byte{0xff}) {
		t.Errorf("%+v", m)
	}
	if text := string(m.AppendText(nil)); !strings.Contains(text, "\n  ff\n") {
		t.Errorf("bytes: %s", text)
	}
	line, err := m.AppendJSON(nil)
	if err != nil || !json.Valid(line) || !strings.Contains(string(line), `"payload_base64":"/w=="`) {
		t.Errorf("%s, %v", line, err)
	}
}

// A long payload is cut where people read, and whole where programs do.
func TestLongPayload(t *testing.T) {
	t.Parallel()
	m := display.NewReader(new(protoregistry.Files), nil, nil).Read(arrival("a", []byte(strings.Repeat("ä", 20_000))))
	if text := string(m.AppendText(nil)); len(text) > 17_000 || !strings.HasSuffix(text, "ä... (23616 more; --json shows all)\n") {
		t.Errorf("%d bytes, ends in %q", len(text), text[len(text)-60:])
	}
	if line, err := m.AppendJSON(nil); err != nil || len(line) < 40_000 {
		t.Errorf("%d bytes of JSON, %v", len(line), err)
	}
}
