package retained

import (
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/message"
)

// FuzzRetainedLetter reads anything that somebody retained, on any topic. What comes
// out is a dead letter under the id of its topic, or it is suspect, and it can be
// found and dropped by that id.
func FuzzRetainedLetter(f *testing.F) {
	const prefix = "dead-letter/shop/"
	id := numbered(1)
	m, err := deadletter.Encode(&deadletter.Letter{ID: id, State: deadletter.Dead, Service: "shop", Message: message.Message{Topic: "work"}}, false)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(prefix+part(id)+"/"+id, m.Payload, "", "")
	f.Add(prefix+"00/0", m.Payload, "dead-letter-id", "0/#")
	f.Add(prefix+part(id)+"/"+id, []byte("x"), "dead-letter-state", "parked")
	f.Fuzz(func(t *testing.T, topic string, payload []byte, key, value string) {
		at := topics(prefix).id(topic)
		if at == "" {
			return
		}
		s := New(Config{Service: "shop"})
		if s.topics.of(at) != topic {
			t.Fatalf("%q is named %q, which is %q", topic, at, s.topics.of(at))
		}
		for _, keys := range []deadletter.SigningKeys{nil, {[]byte(strings.Repeat("k", deadletter.MinSigningKey))}} {
			check := decoder{service: "shop", keys: keys, ours: func(topic string) bool { return topic == "work" }}
			in := &message.Message{Payload: payload, Headers: []message.Header{
				{Key: deadletter.IDHeader, Value: id}, {Key: "dead-letter-topic", Value: "work"}, {Key: "dead-letter-service", Value: "shop"}, {Key: key, Value: value},
			}}
			for _, m := range []*message.Message{in, {Payload: payload}} {
				l, _ := check.letter(m, at)
				if l.ID != at || l.State != deadletter.Dead || strings.ContainsAny(l.Reason+l.Suspect, "\n\x1b") {
					t.Fatalf("%+v", l)
				}
				if l.Suspect == "" && (keys != nil || l.Topic != "work" || l.Service != "shop" || !isID(at)) {
					t.Fatalf("%+v is not suspect", l)
				}
			}
		}
	})
}
