package envelope

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// cloudEvents are payloads, and whether they are structured events.
var cloudEvents = map[string]bool{
	`{"specversion":"1.0","id":"1","source":"s","type":"t"}`:                                            true,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","data":null}`:                                true,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","data":"x","datacontenttype":"text/plain"}`:  true,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"AA==","correlationdata":"!"}`: true,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","data":1,"data_base64":"AA=="}`:              false,
	`{"specversion":"1.0","id":"1","source":"s","type":"t","data_base64":"!"}`:                          false,
	`{"specversion":"1.0","id":"","source":"s","type":"t"}`:                                             false,
	`{"specversion":"0.3","id":"1","source":"s","type":"t"}`:                                            false,
	`{"id":"1","source":"s","type":"t"}`:                                                                false,
	`[]`:                                                                                                false, `{}`: false, ``: false, `null`: false, `{"specversion":"1.0"`: false, "\x00\xff": false,
}

func TestParseCloudEvent(t *testing.T) {
	t.Parallel()
	for payload, ok := range cloudEvents {
		if _, err := parseCloudEvent([]byte(payload)); (err == nil) != ok {
			t.Errorf("%s: %v", payload, err)
		} else if err != nil && !errors.Is(err, errNoEvent) {
			t.Errorf("%s: %v is no errNoEvent", payload, err)
		}
	}
}

// What we send is what arrives.
func FuzzCloudEventRoundTrip(f *testing.F) {
	for payload := range cloudEvents {
		f.Add("tenant", "v", "application/json", []byte(payload), []byte("c"))
	}
	f.Add("tenant", "\xff", "text/plain", []byte("text"), []byte(nil))
	f.Add("id", "", "", []byte{}, []byte{0xff})
	f.Fuzz(func(t *testing.T, key, value, contentType string, payload, correlation []byte) {
		m := &Message{Message: session.Message{Topic: "a", Payload: bytes.Clone(payload)}}
		*m.Props() = session.Properties{ContentType: contentType, CorrelationData: correlation}
		m.addHeader(key, value)
		if m.structure(&Settings{Source: "/s"}) != nil {
			return
		}
		e, err := parseCloudEvent(m.Payload)
		if err != nil {
			t.Fatalf("%s: %v", m.Payload, err)
		}
		if !same(e.data, payload) {
			t.Errorf("sent %q, got %q", payload, e.data)
		}
		if !bytes.Equal(e.correlation, correlation) {
			t.Errorf("correlation: sent %q, got %q", correlation, e.correlation)
		}
	})
}

// same allows JSON to be written in another way.
func same(got, sent []byte) bool {
	var a, b any
	if bytes.Equal(got, sent) {
		return true
	}
	if json.Unmarshal(got, &a) != nil || json.Unmarshal(sent, &b) != nil {
		return false
	}
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return bytes.Equal(x, y)
}

func FuzzParseCloudEvent(f *testing.F) {
	for payload := range cloudEvents {
		f.Add([]byte(payload))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		e, err := parseCloudEvent(payload)
		if err == nil {
			if id, ok := Last(e.attributes, idKey); !ok || id == "" {
				t.Error("an event without an id")
			}
		}
	})
}

// named is a codec of which nothing but the name matters.
type named string

func (named) Marshal(any) ([]byte, error) { return nil, nil }
func (named) Unmarshal([]byte, any) error { return nil }
func (n named) Name() string              { return string(n) }

func TestContentTypes(t *testing.T) {
	t.Parallel()
	settings := Settings{Codecs: func(name string) Codec { return named(name) }}
	for in, want := range map[string]string{
		"": "", "application/json": "json", "application/protobuf": "proto", "application/x-protobuf": "proto",
		"application/json; charset=utf-8": "json", "application/problem+json": "json", "APPLICATION/JSON": "json",
		"text/json": "json", "application/": "", "application/none": "", ";": "", "/": "", "application/proto": "proto",
	} {
		got := ""
		if c := settings.codecOf(in); c != nil {
			got = c.Name()
		}
		if got != want {
			t.Errorf("%q names codec %q, want %q", in, got, want)
		}
	}
}
