package command_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Payloads come from arguments, files and standard input, in order.
func TestPublish(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		p := tail(t, url, "#", "--format", "  {{.Topic}}  \n{{.Payload}}", "-d", api)
		folder := t.TempDir()
		file := func(name, text string) string {
			path := filepath.Join(folder, name)
			writeFile(t, path, text)
			return path
		}
		a, b := file("a", "1\n2\n\n3"), file("b", "4\r\n")
		run(t, "", "publish", "-b", url, "-t", "t", "@"+a)
		run(t, "", "publish", "-b", url, "-t", "t", "-f", a, "-f", b)
		run(t, "", "publish", "-b", url, "-t", "t", "-f", a, "-f", b, "--lines", "--rate", "1000", "-n", "2")
		run(t, "stdin", "publish", "-b", url, "-t", "t")
		run(t, "", "publish", "-b", url, "-t", "t", "-q", "2", "-")
		many := begin(t, `{"device_id":"d1","temperature":1} {"device_id":"d2"}`, "publish", "-b", url, "-d", api, "--operation", "RecordTelemetry", "-f", "-")
		if err := many.wait(t); err != nil || many.Err.String() != "2 messages published\n" {
			t.Errorf("%v, %q", err, many.Err.String())
		}
		golden(t, "publish.txt", shown(t, p, `"deviceId":"d2"`))
	})
}

func TestPublishRefuses(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	for want, args := range map[string][]string{
		"want --operation, or --topic": {"x"},
		"want one of them":             {"-t", "a", "x", "-f", "y"},
		"no such file":                 {"-t", "a", "@none"},
		"is a folder":                  {"-t", "a", "-f", "."},
		"--lines is for payloads":      {"--operation", "a", "--lines"},
		"want at least 1":              {"-t", "a", "x", "-n", "0"},
		"message 2: not a message":     {"--operation", "RecordTelemetry", "-d", api, `{"device_id":"d"} {"none":1}`},
		"message 2: invalid character": {"--operation", "RecordTelemetry", "-d", api, `{"device_id":"d"} x`},
		"nothing to publish":           {"--operation", "RecordTelemetry", "-d", api},
		"message 1: mqtt: publish":     {"-t", "a/#", "x"},
	} {
		err := begin(t, "", append([]string{"publish", "-b", url}, args...)...).wait(t)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

// 10,000 lines are in flight together.
func TestPublishMany(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	var text strings.Builder
	for i := range 10_000 {
		fmt.Fprintln(&text, i)
	}
	p := begin(t, text.String(), "publish", "-b", url, "-t", "a", "--lines", "--json")
	if err := p.wait(t); err != nil || p.Err.String() != "10000 messages published\n" {
		t.Errorf("%v, %q", err, p.Err.String())
	}
}
