package client

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// What a preset knows a broker to grant at most is asked for, and
// ready; that it is less than the service wants is said once.
func TestPresetCapsTheQoS(t *testing.T) {
	t.Parallel()
	preset, err := FindPreset("rabbitmq")
	if err != nil {
		t.Fatal(err)
	}
	var log book
	b := mqtttest.InProcess(t, broker.MaxQoS(1))
	c := running(t, client(t, b.URL(), logTo(&log), func(c *Config) { c.Preset = preset }), &Subscription{Filter: "a", QoS: 2, Handler: idle})
	if h := c.Health(); !h.Ready || h.GrantedLower != 0 {
		t.Errorf("%+v", h)
	}
	if !log.has("WARN", `"a" wants QoS 2, rabbitmq grants at most 1`) {
		t.Errorf("%v", log.all())
	}
}
