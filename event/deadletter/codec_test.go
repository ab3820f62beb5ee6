package deadletter_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// full is a letter that uses every field.
func full() *deadletter.Letter {
	return &deadletter.Letter{
		Message: message.Message{
			Topic: "plant/7/order", Payload: []byte("\x00{ \"a\" : 1 }\xff"), QoS: 2, Retain: true, ContentType: "application/json",
			ResponseTopic: "reply/x", CorrelationData: []byte{0, 255}, Expiry: 90 * time.Second,
			Headers: []message.Header{
				{Key: "traceparent", Value: "00-1"},
				{Key: "twice", Value: "1"},
				{Key: "twice", Value: "2"},
				{Key: "dead-letter-id", Value: "of an earlier letter"},
				{Key: "dead-letter-header-x", Value: "y"},
				{Key: "id", Value: "event 1"},
				{Key: "", Value: ""},
			},
		},
		ID: "01890a5d-ac96-774b-bcce-b302099a8057", State: deadletter.Parked, EventID: "event 1", Filter: "plant/+/order",
		Key: "7", Owner: "saver-1", Service: "saver", Reason: "no such \"customer\"", Attempts: 4,
		Received: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC), Time: time.Date(2026, 1, 2, 3, 4, 9, 0, time.UTC),
		Until: time.Date(2026, 1, 3, 3, 4, 5, 0, time.UTC), Omitted: deadletter.Omitted{Size: 1 << 33, SHA256: "0a", More: true},
		Operation: "/plant.v1.Orders/Place", ErrorType: "NO_CUSTOMER", Replayed: deadletter.Replayed{Count: 3, Edit: deadletter.Edit{
			By: "somebody else", Time: time.Date(2026, 1, 2, 5, 0, 0, 7, time.UTC), SHA256: strings.Repeat("0a", 32),
		}},
	}
}

func TestCodecKeepsEverything(t *testing.T) {
	t.Parallel()
	dead := full()
	dead.State = deadletter.Dead
	least := &deadletter.Letter{Message: message.Message{Topic: "t"}, ID: "1", State: deadletter.Dead}
	text := &deadletter.Letter{Message: message.Message{Topic: "t", Payload: []byte{}}, ID: "1", State: deadletter.Dead}
	for name, l := range map[string]*deadletter.Letter{"full": full(), "dead": dead, "least": least, "empty payload": text} {
		for _, properties := range []bool{true, false} {
			m, err := deadletter.Encode(l, properties)
			if err != nil {
				t.Fatal(err)
			}
			if m.QoS != 1 || m.Retain || m.Expiry != 0 || m.Topic != "" {
				t.Errorf("%s: published as %+v", name, m)
			}
			got, err := deadletter.Decode(m)
			if err != nil {
				t.Fatalf("%s, properties %t: %v", name, properties, err)
			}
			if !reflect.DeepEqual(got, l) {
				t.Errorf("%s, properties %t:\n got %+v\nwant %+v", name, properties, got, l)
			}
		}
	}
}

// On MQTT 5 a letter is the original message, with more headers.
func TestPropertiesKeepTheMessage(t *testing.T) {
	t.Parallel()
	l := full()
	m, err := deadletter.Encode(l, true)
	if err != nil {
		t.Fatal(err)
	}
	if string(m.Payload) != string(l.Payload) || m.ContentType != l.ContentType || m.Header("traceparent") != "00-1" {
		t.Errorf("%+v", m)
	}
	for name, want := range map[string]string{
		"dead-letter-topic": l.Topic, "dead-letter-reason": l.Reason, "dead-letter-attempts": "4", "dead-letter-service": "saver",
	} {
		if got := m.Header(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// The other form is a CloudEvent: names of lower-case letters and digits, and
// attributes without structure.
func TestCloudEventIsOne(t *testing.T) {
	t.Parallel()
	m, err := deadletter.Encode(full(), false)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(m.Payload, &members); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if name != "data_base64" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			t.Errorf("attribute %q", name)
		}
		switch value.(type) {
		case string, float64:
		default:
			t.Errorf("attribute %q is a %T", name, value)
		}
	}
	for name, want := range map[string]any{
		"specversion": "1.0", "source": "/saver", "type": "kratosmqtt.deadletter.v1", "subject": "plant/7/order", "attempts": 4.0,
		"id": full().ID, "eventid": "event 1",
	} {
		if members[name] != want {
			t.Errorf("%s is %v, want %v", name, members[name], want)
		}
	}
}

// Data may come as text or JSON, too, when somebody else wrote the event.
func TestDecodeData(t *testing.T) {
	t.Parallel()
	const head = `{"specversion":"1.0","id":"1","source":"/x","type":"kratosmqtt.deadletter.v1","subject":"t","later":"x",`
	for data, want := range map[string]string{`"data":"text"`: "text", `"data":{"a": 1}`: `{"a": 1}`, `"data":null`: "", `"data_base64":"AQ=="`: "\x01"} {
		l, err := deadletter.Decode(&message.Message{Payload: []byte(head + data + "}")})
		if err != nil || string(l.Payload) != want {
			t.Errorf("%s: %v %v", data, l, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	head := func(kv ...string) *message.Message {
		m := &message.Message{Headers: []message.Header{{Key: "dead-letter-id", Value: "1"}, {Key: "dead-letter-topic", Value: "t"}}}
		for i := 0; i < len(kv); i += 2 {
			m.Headers = append(m.Headers, message.Header{Key: "dead-letter-" + kv[i], Value: kv[i+1]})
		}
		return m
	}
	payload := func(s string) *message.Message { return &message.Message{Payload: []byte(s)} }
	for name, m := range map[string]*message.Message{
		"nil": nil, "nothing": {}, "empty": payload(""), "text": payload("probe"), "not JSON": payload("{"),
		"another event":   payload(`{"specversion":"1.0","id":"1","source":"/x","type":"other","subject":"t"}`),
		"no topic":        payload(`{"specversion":"1.0","id":"1","source":"/x","type":"kratosmqtt.deadletter.v1"}`),
		"no id":           payload(`{"specversion":"1.0","subject":"t","source":"/x","type":"kratosmqtt.deadletter.v1"}`),
		"bad base64":      payload(`{"id":"1","subject":"t","type":"kratosmqtt.deadletter.v1","data_base64":"*"}`),
		"bad correlation": payload(`{"id":"1","subject":"t","type":"kratosmqtt.deadletter.v1","correlationdata":"*"}`),
		"bad headers":     payload(`{"id":"1","subject":"t","type":"kratosmqtt.deadletter.v1","headers":"{}"}`),
		"attempts":        head("attempts", "many"), "negative attempts": head("attempts", "-1"), "time": head("time", "noon"),
		"received": head("received", "9999-12-31T23:59:59-05:00"), "QoS": head("qos", "3"), "expiry": head("expiry", "99999999999999"),
	} {
		if l, err := deadletter.Decode(m); !errors.Is(err, deadletter.ErrNoLetter) {
			t.Errorf("%s: %+v, %v", name, l, err)
		}
	}
	for _, l := range []*deadletter.Letter{nil, {}} {
		if _, err := deadletter.Encode(l, true); err == nil {
			t.Errorf("%+v was encoded", l)
		}
	}
}

// FuzzDecode decodes anything, and what is a letter survives both forms.
func FuzzDecode(f *testing.F) {
	seed := func(l *deadletter.Letter) {
		m, err := deadletter.Encode(l, false)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(m.Payload, m.ContentType, "", "")
		m, _ = deadletter.Encode(l, true)
		for _, h := range m.Headers {
			f.Add(m.Payload, "", h.Key, h.Value)
		}
	}
	seed(full())
	f.Add([]byte(`{"id":"1","subject":"t","type":"kratosmqtt.deadletter.v1","headers":"[[\"a\",\"b\"]]","data":"x"}`), "", "dead-letter-header-x", "1")
	f.Fuzz(func(t *testing.T, payload []byte, contentType, key, value string) {
		valid := func(s string) bool { return strings.ToValidUTF8(s, "") == s } // as MQTT makes sure
		if !valid(contentType) || !valid(key) || !valid(value) {
			return
		}
		for _, headers := range [][]message.Header{
			{{Key: key, Value: value}},
			{{Key: "dead-letter-id", Value: "1"}, {Key: "dead-letter-topic", Value: "t"}, {Key: key, Value: value}},
		} {
			l, err := deadletter.Decode(&message.Message{Payload: payload, ContentType: contentType, Headers: headers})
			if err != nil {
				if !errors.Is(err, deadletter.ErrNoLetter) {
					t.Fatal(err)
				}
				continue
			}
			for _, properties := range []bool{true, false} {
				m, err := deadletter.Encode(l, properties)
				if err != nil {
					t.Fatal(err)
				}
				got, err := deadletter.Decode(m)
				if err != nil {
					t.Fatal(err)
				}
				// Nil and empty are the same on the wire.
				if got.Payload == nil {
					got.Payload = l.Payload
				}
				if len(got.CorrelationData) == 0 && len(l.CorrelationData) == 0 {
					got.CorrelationData = l.CorrelationData
				}
				if !slices.Equal(got.Headers, l.Headers) {
					t.Fatalf("headers %v, want %v", got.Headers, l.Headers)
				}
				got.Headers = l.Headers
				if !reflect.DeepEqual(got, l) {
					t.Fatalf("properties %t:\n got %+v\nwant %+v", properties, got, l)
				}
			}
		}
	})
}

// reports.md C8: of two members that could mean one field the attribute counts,
// and not the order of a map.
func TestDecodeHasOneNameForEachField(t *testing.T) {
	t.Parallel()
	const text = `{"specversion":"1.0","type":"kratosmqtt.deadletter.v1","source":"/s","id":"1",
		"subject":"a","topic":"other","eventid":"e","event-id":"other","omittedsize":"1","omitted-size":"2"}`
	for range 50 {
		l, err := deadletter.Decode(&message.Message{Payload: []byte(text)})
		if err != nil || l.Topic != "a" || l.EventID != "e" || l.Omitted.Size != 1 {
			t.Fatalf("got %+v, %v", l, err)
		}
	}
}

// The content type decides in any case, and without one the text may begin with
// white space or a byte order mark.
func TestDecodeByContentType(t *testing.T) {
	t.Parallel()
	const text = `{"specversion":"1.0","type":"kratosmqtt.deadletter.v1","source":"/s","id":"1","subject":"a"}`
	for contentType, ok := range map[string]bool{
		"": true, "Application/CloudEvents+JSON; charset=utf-8": true, "application/json": false, "application/cloudevents-batch+json": false,
	} {
		for _, start := range []string{"", "\n", "\uFEFF"} {
			_, err := deadletter.Decode(&message.Message{Payload: []byte(start + text), ContentType: contentType})
			if (err == nil) != ok {
				t.Errorf("%q, behind %q: %v", contentType, start, err)
			}
		}
	}
	m := &message.Message{Payload: []byte("x"), Headers: []message.Header{{Key: "Dead-Letter-ID", Value: "1"}, {Key: "DEAD-LETTER-Topic", Value: "a"}, {Key: "Dead-Letter-Header-dead-letter-x", Value: "o"}}}
	l, err := deadletter.Decode(m)
	if err != nil || l.ID != "1" || l.Topic != "a" || len(l.Headers) != 1 || l.Headers[0].Key != "dead-letter-x" {
		t.Errorf("got %+v, %v", l, err)
	}
}
