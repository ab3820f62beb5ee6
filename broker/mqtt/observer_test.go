package mqtt_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/go-kratos/kratos/v2/log"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

// value is a value of Kratos' config, which it scans by way of JSON.
type value struct{ of any }

func (v value) Scan(to any) error {
	text, err := json.Marshal(v.of)
	if m, ok := to.(proto.Message); ok && err == nil {
		return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, m)
	}
	return errors.Join(err, errors.New("not a message"))
}

// A changed value of Kratos' config is applied to the broker. What is wrong and what needs
// a restart is logged once.
func TestConfigObserver(t *testing.T) {
	t.Parallel()
	c := &v1.Connection{Addresses: []string{"mqtt://127.0.0.1:1"}, ClientId: "observed", Username: "ann", Password: "a"}
	b := mqttbroker.NewBroker(mqttbroker.WithConnectionConfig(c), mqttbroker.WithSubscriberConfig(new(v1.Subscriber)))
	out := new(logs)
	observe := mqttbroker.ConfigObserver[value](log.NewStdLogger(out), b, b)
	type m = map[string]any
	connection := m{"addresses": []string{"mqtt://127.0.0.1:1"}, "client_id": "observed", "username": "ann", "password": "b"}
	observe("mqtt", value{m{"connection": connection, "subscriber": m{"concurrency": 3}}})
	if n := out.count("mqtt"); n != 0 {
		t.Errorf("logged: %v", out)
	}
	observe("mqtt", value{m{"connection": connection, "subscriber": m{"concurrency": 3, "queue": 7}}})
	observe("mqtt", value{m{"connection": connection, "subscriber": m{"concurrency": 1000000}}})
	observe("mqtt", value{m{"connection": 5}})
	for text, want := range map[string]int{
		`WARN msg=mqtt: changed configuration "mqtt": subscriber.queue: needs a restart`: 1,
		`ERROR msg=mqtt: the changed configuration "mqtt" is not used: `:                 2,
	} {
		if n := out.count(text); n != want {
			t.Errorf("%d times %s, want %d: %v", n, text, want, out)
		}
	}
}
