package message_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

func TestFormatOf(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]message.Format{
		"":                                            message.FormatUnknown,
		"application/json":                            message.FormatJSON,
		"Application/JSON; charset=utf-8":             message.FormatJSON,
		"application/json;charset":                    message.FormatJSON,
		" text/json":                                  message.FormatJSON,
		"application/vnd.example.v1+json":             message.FormatJSON,
		"image/svg+xml+JSON":                          message.FormatJSON,
		"application/protobuf":                        message.FormatProto,
		"application/x-protobuf; messageType=a":       message.FormatProto,
		"application/vnd.google.protobuf":             message.FormatProto,
		"APPLICATION/PROTO":                           message.FormatProto,
		"application/vnd.example+proto":               message.FormatProto,
		"application/cloudevents+json":                message.FormatEvent,
		"Application/CloudEvents+JSON; charset=UTF-8": message.FormatEvent,
		"application/cloudevents":                     message.FormatEvent,
		"application/cloudevents+avro":                message.FormatEventOther,
		"application/cloudevents+protobuf":            message.FormatEventOther,
		"application/cloudevents-batch+json":          message.FormatEventBatch,
		"application/cloudevents-batch":               message.FormatEventBatch,
		"application/cloudeventsandmore":              message.FormatUnknown,
		"text/cloudevents":                            message.FormatUnknown,
		"application/yaml":                            message.FormatUnknown,
		"text/plain":                                  message.FormatUnknown,
		"json":                                        message.FormatUnknown,
		"application/jsonl":                           message.FormatUnknown,
		";;;/":                                        message.FormatUnknown,
	} {
		if got := message.FormatOf(contentType); got != want {
			t.Errorf("%q is %d, want %d", contentType, got, want)
		}
	}
}

//nolint:paralleltest // it counts allocations
func TestUsualFormatsCostNothing(t *testing.T) {
	for _, usual := range []string{message.TypeJSON, message.TypeProto, message.TypeEvent} {
		if n := testing.AllocsPerRun(100, func() { message.FormatOf(usual) }); n > 0 {
			t.Errorf("%s costs %v allocations", usual, n)
		}
	}
}

func TestMayBeObject(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"{", "\n{}", " \t\r\n{", "\uFEFF{", "\uFEFF\n{"} {
		if !message.MayBeObject([]byte(payload)) {
			t.Errorf("%q may be none", payload)
		}
	}
	for _, payload := range []string{"", "[{}]", "\n", "a{", "\x00{", "\uFEFF"} {
		if message.MayBeObject([]byte(payload)) {
			t.Errorf("%q may be one", payload)
		}
	}
	if got := string(message.JSONText([]byte("\uFEFF\uFEFF{}"))); got != "\uFEFF{}" {
		t.Errorf("got %q", got)
	}
}

// A header is found whatever the case of its name, and the last one counts.
func TestHeaderIgnoresCase(t *testing.T) {
	t.Parallel()
	m := message.Message{Headers: []message.Header{{Key: "TraceParent", Value: "a"}, {Key: "x", Value: "y"}, {Key: "traceparent", Value: "b"}, {Key: "X", Value: "z"}}}
	for key, want := range map[string]string{"traceparent": "b", "TRACEPARENT": "b", "x": "z", "y": ""} {
		if got := m.Header(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}
