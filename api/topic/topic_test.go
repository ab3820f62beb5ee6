package topic_test

import (
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/api/topic"
)

func TestDeviceID(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"devices/d1/data":       "d1",
		"devices/a b-ü/data":    "a b-ü",
		"devices/data/data":     "data",
		"devices//data":         "",
		"devices/a/b/data":      "",
		"devices/d1/data/x":     "",
		"devices/d1":            "",
		"devices/data":          "",
		"/devices/d1/data":      "",
		"alerts/temperature":    "",
		"":                      "",
		"devices/d1/data\x00":   "",
		"devices/devices//data": "",
	} {
		id, ok := topic.DeviceID(name)
		if id != want || ok != (want != "") {
			t.Errorf("DeviceID(%q) = %q, %v, want %q", name, id, ok, want)
		}
	}
}

func TestAlerts(t *testing.T) {
	t.Parallel()
	if got := topic.Alerts("temperature"); got != "alerts/temperature" {
		t.Errorf("got %q", got)
	}
}
