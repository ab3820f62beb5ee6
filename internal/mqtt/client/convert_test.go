package client_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
)

func TestStoredMessageComesBack(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]*client.Message{
		"bare": {Topic: "a/b", Payload: []byte("x"), QoS: 1},
		"everything": {Topic: "a/b", Payload: []byte("x"), QoS: 2, Retain: true, Properties: &client.Properties{
			ContentType: "application/json", ResponseTopic: "r", CorrelationData: []byte("c"), Expiry: time.Minute,
			User: []client.UserProperty{{Key: "k", Value: "1"}, {Key: "k", Value: "2"}},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := client.Stored(m)
			if got := client.Outgoing(&kept); !reflect.DeepEqual(got, m) {
				t.Errorf("got  %+v\nwant %+v", got, m)
			}
			kept.Payload[0] = 'y'
			if string(m.Payload) != "x" {
				t.Error("the payload is shared")
			}
		})
	}
}
