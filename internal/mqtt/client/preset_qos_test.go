package client

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// If a preset limits the QoS, the client asks for that limit and is ready with it; a
// warning is logged once.
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
	if !log.has("WARN", "wants a higher QoS than rabbitmq grants", "template a ", "qos 1 ", "asked 2") {
		t.Errorf("%v", log.all())
	}
}
