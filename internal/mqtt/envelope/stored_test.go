package envelope_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/envelope"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

func TestStoredMessageComesBack(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*session.Message{
		"bare": {Topic: "a/b", Payload: []byte("x"), QoS: 1},
		"everything": {Topic: "a/b", Payload: []byte("x"), QoS: 2, Retain: true, Properties: &session.Properties{
			ContentType: "application/json", ResponseTopic: "r", CorrelationData: []byte("c"), Expiry: time.Minute,
			User: []session.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := envelope.Stored(m)
			if got := envelope.Outgoing(&kept); !reflect.DeepEqual(got, m) {
				t.Errorf("got  %+v\nwant %+v", got, m)
			}
			kept.Payload[0] = 'y'
			if string(m.Payload) != "x" {
				t.Error("the payload is shared")
			}
		})
	}
}
