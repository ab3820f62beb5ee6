package command_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A fleet sends what its service reads.
func TestSimulate(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		p := tail(t, url, "-d", api, "#", "--where", `topic == "ready" || topic.startsWith("devices/device-000") && topic.endsWith("/data") && payload.temperature >= 15.0`)
		run(t, "", "simulate", "RecordTelemetry", "-d", api, "-b", url, "--devices", "5", "--count", "50", "--rate", "0", "--seed", "3")
		mqtttest.Eventually(t, patience, func() bool { return strings.Count(p.Out.String(), "/device.v1.DeviceEvents/RecordTelemetry") > 35 })
		if got := begin(t, "", "simulate", "SendCommand", "-d", api, "-b", url, "--duration", "200ms"); got.wait(t) != nil || !strings.Contains(got.Err.String(), "of 10 devices published, seed ") {
			t.Errorf("for a time: %s", got.Err.String())
		}
	})
}

func TestSimulatePrint(t *testing.T) {
	t.Parallel()
	moment := regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`)
	out := run(t, "", "simulate", "RecordTelemetry", "-d", api, "--devices", "2", "--count", "4", "--seed", "1", "--print")
	golden(t, "simulate.txt", moment.ReplaceAllString(out, "TIME"))
	url := mqtttest.InProcess(t).URL()
	if got := run(t, out, "publish", "--operation", "RecordTelemetry", "-d", api, "-b", url); got != "" {
		t.Errorf("publish writes %q", got)
	}
	for want, args := range map[string][]string{
		"wants --count":  {"--print"},
		"0 devices":      {"--devices", "0"},
		"want 0 or more": {"--rate", "-1"},
	} {
		if err := begin(t, "", append([]string{"simulate", "RecordTelemetry", "-d", api}, args...)...).wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
