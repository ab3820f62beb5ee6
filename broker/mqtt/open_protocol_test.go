package mqtt_test

import (
	"testing"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
)

func TestSelectsMQTT5(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		c    *v1.Connection
		want bool
	}{
		{nil, false},
		{&v1.Connection{}, false},
		{&v1.Connection{Protocol: "5"}, true},
		{&v1.Connection{Protocol: "3.1.1"}, false},
		{&v1.Connection{Protocol: "auto"}, false},
		{&v1.Connection{Preset: "mosquitto"}, true},
		{&v1.Connection{Preset: "mosquitto", ClientId: "kept"}, true},
		{&v1.Connection{Preset: "mosquitto", Protocol: "3.1.1"}, false},
		{&v1.Connection{Preset: "mosquitto", Protocol: "auto"}, false},
		{&v1.Connection{Preset: "rabbitmq"}, false},
		{&v1.Connection{Preset: "rabbitmq", Protocol: "5"}, true},
		{&v1.Connection{Preset: "unknown"}, false},
	} {
		if got := mqttbroker.SelectsMQTT5(tt.c); got != tt.want {
			t.Errorf("%v: %t", tt.c, got)
		}
	}
}
