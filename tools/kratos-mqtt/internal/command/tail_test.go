package command_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// clock is the time at the beginning of a message.
var clock = regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3}`)

// spaced is the size of a message of protojson, whose spaces differ from build to build.
var spaced = regexp.MustCompile(`\d+ bytes  json by`)

// tail starts tail and waits until it is subscribed.
func tail(t *testing.T, url string, args ...string) *program {
	t.Helper()
	p := begin(t, "", append([]string{"tail", "-b", url}, args...)...)
	subscribed(t, p, url)
	return p
}

// subscribed publishes until the program shows it.
func subscribed(t *testing.T, p *program, url string) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		select {
		case <-p.done:
			t.Fatalf("ended: %v\n%s", p.err, p.Err.String())
		default:
		}
		run(t, "", "publish", "-b", url, "-t", "ready", "x")
		if !strings.Contains(p.Out.String(), "ready") {
			return fmt.Errorf("not subscribed yet: %s%s", p.Out.String(), p.Err.String())
		}
		return nil
	})
}

// shown waits until the program has shown a text, and returns all that follows the messages
// that tell when it is subscribed.
func shown(t *testing.T, p *program, last string) string {
	t.Helper()
	mqtttest.Eventually(t, patience, func() bool { return strings.Contains(p.Out.String(), last) })
	lines := strings.SplitAfter(p.Out.String(), "\n")
	first := 0
	for i, line := range lines {
		if strings.Contains(line, "  ready  ") {
			first = i + 2 // behind its payload
		}
	}
	text := strings.Join(lines[first:], "")
	text = strings.ReplaceAll(spaced.ReplaceAllString(text, "N bytes  json by"), "\u00a0", " ") // protobuf varies its errors, too
	return clock.ReplaceAllString(text, "15:04:05.000")
}

// tail names what decoded each message, shows headers and flags, and lets no text of a device
// through as it is.
func TestTail(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		p := tail(t, url, "-d", api, "#")
		publish := func(args ...string) { run(t, "", append([]string{"publish", "-b", url}, args...)...) }
		publish("-d", api, "--operation", "RecordTelemetry", "--id", "r1", `{"device_id":"d1","temperature":71.5,"sensors":{"co2":411}}`)
		publish("-d", api, "--operation", "SaveEventReport", "--id", "e1", `{"event_id":"e1","event_name":"start","report_data":"{}"}`)
		publish("-t", "devices/d1/data", "not json", "--qos", "0")
		publish("-t", "odd", "-H", "unit=C\u202e", "a\x1b]0;owned\x07b\u202e")
		publish("-t", "odd", "\x08\x01\x12\x02hi")
		publish("-t", "event", "--content-type", "application/cloudevents+json", `{"specversion":"1.0","id":"7","source":"/s","type":"t","datacontenttype":"application/json","data":{"n":1}}`)
		publish("-t", "event", "--content-type", "application/cloudevents+json", `{"id":"broken"}`)
		golden(t, "tail.txt", shown(t, p, "broken"))
		p.end()
		if err := p.wait(t); err != nil {
			t.Errorf("interrupted: %v", err)
		}
	})
}

// What arrives is selected, compared and formatted; a count ends the command.
func TestTailScripts(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		send := func(values ...string) {
			for _, v := range values {
				run(t, "", "publish", "-b", url, "-t", "devices/d1/data", v)
			}
		}
		p := tail(t, url, "#", "--diff", "--where", `topic == "ready" || payload.n >= 1 && headers.size() == 0`)
		send(`{"n":1,"a":{"b":[1,2]}}`, `{"n":0}`, `{"m":0}`, `{"n":2,"a":{"b":[1,3]},"new":true}`, `{"n":2,"a":{"b":[1,3]},"new":true}`, `{"n":3}`)
		golden(t, "tail-diff.txt", shown(t, p, "- new"))
		p.end()
		if err := p.wait(t); err != nil || !strings.Contains(p.Err.String(), "--where could not be evaluated for 1 messages") {
			t.Errorf("%v: %s", err, p.Err.String())
		}

		run(t, "", "publish", "-b", url, "-t", "kept/1", "--retain", `{"n":[{"deep":"ä"}]}`)
		retained := []string{"tail", "-b", url, "kept/#", "--count", "1"}
		if got, want := run(t, "", append(retained, "--format", `{{.Topic}} {{.Field "n[0].deep"}} {{.Field "none"}}{{.Retained}}\t{{.QoS}}`)...), "kept/1 ä true\t1\n"; got != want {
			t.Errorf("%q, want %q", got, want)
		}
		var m struct {
			Topic    string
			Decoder  string
			Payload  json.RawMessage
			Retained bool
			QoS      int
			Size     int
		}
		out := run(t, "", append(retained, "--json")...)
		if err := json.Unmarshal([]byte(out), &m); err != nil || m.Topic != "kept/1" || m.Decoder != "json" || !m.Retained || m.QoS != 1 || m.Size != 21 {
			t.Errorf("%s: %+v, %v", out, m, err)
		}
		if got := run(t, "", "tail", "-b", url, "#", "--retained", "--format", "{{.Topic}}"); got != "kept/1\n" {
			t.Errorf("--retained: %q", got)
		}
		late := begin(t, "", "tail", "-b", url, "none", "--count", "2", "--timeout", "50ms")
		if err := late.wait(t); err == nil || err.Error() != "0 of 2 messages within 50ms" {
			t.Errorf("a timeout: %v", err)
		}
	})
}

// Members of a group share messages; an operation brings its own topics.
func TestTailGroup(t *testing.T) {
	t.Parallel()
	brokers(t, func(t *testing.T, url string) {
		args := []string{"-d", api, "--operation", "RecordTelemetry", "--format", "  ready  {{.Topic}} {{.Decoder}}", "--group", "g"}
		one := begin(t, "", append([]string{"tail", "-b", url}, args...)...)
		two := begin(t, "", append([]string{"tail", "-b", url}, args...)...)
		mqtttest.Eventually(t, patience, func() bool {
			run(t, "", "simulate", "RecordTelemetry", "-d", api, "-b", url, "--count", "20", "--rate", "0")
			return strings.Contains(one.Out.String(), "device-0001/data json") && strings.Contains(two.Out.String(), "data json")
		})
		count := func() int { return strings.Count(one.Out.String()+two.Out.String(), "\n") }
		before := count()
		run(t, "", "simulate", "RecordTelemetry", "-d", api, "-b", url, "--count", "40", "--rate", "0")
		mqtttest.Eventually(t, patience, func() bool { return count() >= before+40 })
	})
}

// A tail tells when it lost the connection, and goes on afterwards.
func TestTailReconnects(t *testing.T) {
	t.Parallel()
	broker := mqtttest.InProcess(t)
	p := tail(t, broker.URL(), "#")
	broker.Stop()
	mqtttest.Eventually(t, patience, func() bool { return strings.Contains(p.Err.String(), "messages may be missing") })
	broker.Start()
	mqtttest.Eventually(t, patience, func() error {
		run(t, "", "publish", "-b", broker.URL(), "-t", "later", "y")
		if !strings.Contains(p.Out.String(), "  later  ") || !strings.Contains(p.Err.String(), "connected again") {
			return fmt.Errorf("%s%s", p.Out.String(), p.Err.String())
		}
		return nil
	})
}

// The client id of a context is the beginning of that of each command, so that commands and a
// service with that id do not end each other's connections.
func TestTailBesideTheSameContext(t *testing.T) {
	t.Parallel()
	broker := mqtttest.InProcess(t)
	home := t.TempDir()
	writeFile(t, filepath.Join(home, "a.yaml"), "mqtt:\n  client_id: ops\n  addresses: ["+broker.URL()+"]\n")
	start := func(args ...string) *program { return beginAt(t, home, "", append(args, "--context", "a")...) }
	one, two := start("tail", "#"), start("tail", "#")
	mqtttest.Eventually(t, patience, func() error {
		if err := start("publish", "-t", "a", "x").wait(t); err != nil {
			return err
		}
		if strings.Contains(one.Out.String(), "  a  ") && strings.Contains(two.Out.String(), "  a  ") {
			return nil
		}
		return fmt.Errorf("%s%s", one.Out.String(), two.Out.String())
	})
	if text := one.Err.String() + two.Err.String(); text != "" {
		t.Error(text)
	}
}

func TestTailRefuses(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	for want, args := range map[string][]string{
		"want a FILTER":       {"tail", "-b", url},
		"undeclared":          {"tail", "-b", url, "#", "--where", "topics == ''"},
		"want bool":           {"tail", "-b", url, "#", "--where", "topic"},
		"can't evaluate":      {"tail", "-b", url, "#", "--format", "{{.Nothing}}"},
		"is not declared":     {"tail", "-b", url, "--operation", "Nothing"},
		"no broker":           {"tail", "#"},
		"a/#/b":               {"tail", "-b", url, "a/#/b"},
		"the name of a new":   {"record", "-b", url, filepath.Join(api, "contract.txt"), "#"},
		"want 0 or more":      {"tail", "-b", url, "#", "--count", "-1"},
		"QoS 3":               {"tail", "-b", url, "#", "--qos", "3"},
		"no such context":     {"tail", "--context", "nowhere", "#"},
		"is not a recording":  {"play", "-b", url, filepath.Join(api, "contract.txt")},
		"--speed is -1":       {"play", "-b", url, "--speed", "-1", "x"},
		"no such file or dir": {"play", "-b", url, "none"},
	} {
		p := begin(t, "", args...)
		if err := p.wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", strings.Join(args, " "), err, want)
		}
	}
}

// A subscriber ends what an outbox waits for, so tail tells when it may be the only one.
func TestTailOfUnrouted(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	for filter, want := range map[string]bool{"reports/#": true, "reports/event": true, "devices/#": false} {
		p := begin(t, "", "tail", "-b", url, "-d", api, filter, "--timeout", "1ms")
		if err := p.wait(t); err != nil {
			t.Fatal(err)
		}
		if got := p.Err.String(); strings.Contains(got, "reports/event") != want {
			t.Errorf("%s: %q, want a warning: %v", filter, got, want)
		}
	}
}
