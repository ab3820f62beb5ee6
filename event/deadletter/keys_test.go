package deadletter_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

func key(s string) []byte { return []byte(strings.Repeat(s, deadletter.MinSigningKey)) }

// Whatever is changed in a letter, its signature is not of that letter any more.
func TestMACCoversEverything(t *testing.T) {
	t.Parallel()
	keys := deadletter.SigningKeys{key("k")}
	for _, properties := range []bool{true, false} {
		m, err := keys.Encode(full(), properties)
		if err != nil {
			t.Fatal(err)
		}
		l, err := deadletter.Decode(m)
		if err != nil || keys.Verify(l) != nil {
			t.Fatalf("%v, %v", err, keys.Verify(l))
		}
		for name, change := range map[string]func(l *deadletter.Letter){
			"id":             func(l *deadletter.Letter) { l.ID += "1" },
			"topic":          func(l *deadletter.Letter) { l.Topic = "valves/7/open" },
			"payload":        func(l *deadletter.Letter) { l.Payload = append(slices.Clone(l.Payload), 'x') },
			"service":        func(l *deadletter.Letter) { l.Service += "1" },
			"reason":         func(l *deadletter.Letter) { l.Reason += "1" },
			"qos":            func(l *deadletter.Letter) { l.QoS = 2 - l.QoS },
			"filter":         func(l *deadletter.Letter) { l.Filter += "1" },
			"event id":       func(l *deadletter.Letter) { l.EventID += "1" },
			"content type":   func(l *deadletter.Letter) { l.ContentType += "1" },
			"response topic": func(l *deadletter.Letter) { l.ResponseTopic += "1" },
			"correlation":    func(l *deadletter.Letter) { l.CorrelationData = []byte("other") },
			"omitted":        func(l *deadletter.Letter) { l.Omitted.Size++ },
			"time":           func(l *deadletter.Letter) { l.Time = l.Time.Add(1) },
			"header":         func(l *deadletter.Letter) { l.Headers = append(slices.Clone(l.Headers), message.Header{Key: "x"}) },
			"headers joined": func(l *deadletter.Letter) { l.Headers = []message.Header{{Key: "a", Value: "b"}} },
		} {
			c := *l
			change(&c)
			if err := keys.Verify(&c); !errors.Is(err, deadletter.ErrSignature) {
				t.Errorf("properties %v, %s: %v", properties, name, err)
			}
		}
		for name, mac := range map[string]string{"none": "", "no text of it": "!", "cut": l.MAC[:20], "another": strings.Repeat("A", len(l.MAC))} {
			c := *l
			c.MAC = mac
			if err := keys.Verify(&c); err == nil {
				t.Errorf("signature %s is taken", name)
			}
		}
		if err := (deadletter.SigningKeys{key("n"), key("k")}).Verify(l); err != nil {
			t.Errorf("an older key: %v", err)
		}
		if err := (deadletter.SigningKeys{key("n")}).Verify(l); !errors.Is(err, deadletter.ErrSignature) {
			t.Errorf("another key: %v", err)
		}
	}
}

// FuzzLetterMAC signs any letter, in both forms, and finds its own signature.
func FuzzLetterMAC(f *testing.F) {
	f.Add("topic", []byte("payload"), "key", "value", "reason", "text/plain")
	f.Add("t/\xff", []byte(nil), "dead-letter-mac", "x", "a\nb", "")
	f.Fuzz(func(t *testing.T, topic string, payload []byte, name, value, reason, contentType string) {
		keys := deadletter.SigningKeys{key("k")}
		l := &deadletter.Letter{
			ID: "1", State: deadletter.Dead, Service: "s", Reason: reason,
			Message: message.Message{Topic: topic, Payload: payload, ContentType: contentType, Headers: []message.Header{{Key: name, Value: value}}},
		}
		for _, properties := range []bool{true, false} {
			m, err := keys.Encode(l, properties)
			if err != nil {
				continue // not a letter: no topic, or another content type
			}
			got, err := deadletter.Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			if err := keys.Verify(got); err != nil {
				t.Fatalf("properties %v: %+v: %v", properties, got, err)
			}
			got.Payload = append(got.Payload, 0)
			if keys.Verify(got) == nil {
				t.Fatal("another payload has the signature")
			}
		}
	})
}
