package command_test

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/command"
)

var times = regexp.MustCompile(`\d+\.\d\d ms|over \d+ messages|"(p50_ms|p99_ms|connect_ms|messages|uptime|topics)":("[^"]*"|[0-9.]+)|127\.0\.0\.1:\d+`)

func TestDoctor(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	for file, args := range map[string][]string{"doctor.txt": nil, "doctor.jsonl": {"--json"}} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			got := run(t, "", append([]string{"doctor", b.URL(), "--max-queued", "100", "--max-payload", "65536", "--timeout", "20s"}, args...)...)
			golden(t, file, times.ReplaceAllStringFunc(got, func(s string) string {
				if name, _, ok := strings.Cut(s, ":"); ok && strings.HasPrefix(s, `"`) {
					return name + ":0"
				}
				return regexp.MustCompile(`[\d.:]+`).ReplaceAllString(s, "N")
			}))
		})
	}
}

func TestDoctorProblems(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"no broker: want --broker URL":            {"doctor"},
		"--max-queued is 0, want 1 to 1000000":    {"doctor", "mqtt://127.0.0.1", "--max-queued", "0"},
		"--max-payload is 0, want 1 to 134217728": {"doctor", "mqtt://127.0.0.1", "--max-payload", "0"},
		"unknown scheme, use tcp":                 {"doctor", "coap://127.0.0.1"},
		"authorities: open /none: no such file":   {"doctor", "mqtts://127.0.0.1", "--ca", "/none"},
		"the broker accepted no connection":       {"doctor", "mqtt://127.0.0.1:1", "--timeout", "1s"},
		"accepts at most 1 arg(s), received 2":    {"doctor", "mqtt://127.0.0.1", "mqtt://127.0.0.2"},
	} {
		if err := begin(t, "", args...).wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

// A URL is measured without the password of the context in use, which is for another broker. One
// newline at the end of a password file is not part of the password, for all commands.
func TestDoctorKeepsPasswords(t *testing.T) {
	t.Parallel()
	logins := make(chan string, 1000)
	b := mqtttest.InProcess(t, broker.WithAuthentication(func(_, user, password string) byte {
		logins <- user + ":" + password
		return 0x87
	}))
	home := t.TempDir()
	for _, c := range []struct{ want, command string }{
		{"", "context add plant --broker mqtt://127.0.0.1:1 -u ops --password-file " + filepath.Join(home, "password")},
		{":", "doctor " + b.URL()},
		{"me:", "doctor -u me " + b.URL()},
		{"ops:secret", "doctor --context plant " + b.URL()},
		{"ops:secret", "doctor --broker " + b.URL()},
		{"ops:secret", "publish --broker " + b.URL() + " -t a x"},
		{"ops:two\n", "doctor --broker " + b.URL()},
		{"ops:two\n", "publish --broker " + b.URL() + " -t a x"},
	} {
		_, password, _ := strings.Cut(c.want, ":")
		writeFile(t, filepath.Join(home, "password"), password+"\n")
		root := command.New(command.Terminal{Out: io.Discard, Err: io.Discard, Getenv: func(name string) string {
			return map[string]string{"KRATOS_MQTT_HOME": home}[name]
		}})
		root.SetArgs(strings.Fields(c.command))
		if err := root.ExecuteContext(t.Context()); (err == nil) != (c.want == "") {
			t.Fatalf("%s: %v", c.command, err)
		}
		for len(logins) > 0 {
			if got := <-logins; got != c.want {
				t.Errorf("%s: login %q, want %q", c.command, got, c.want)
			}
		}
	}
}

// page is the description of all commands.
const page = "../../../../docs/guide/command-line.md"

// TestPage checks that the commands in the page and their flags exist. TestPageRuns, package doctest and
// package scaffold below internal/test run them.
func TestPage(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, block := range regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		for line := range strings.Lines(block[1]) {
			words, ok := strings.CutPrefix(strings.TrimSpace(line), "kratos-mqtt ")
			name, _, _ := strings.Cut(words, " ")
			if !ok || name == "completion" || name == "man" || strings.Contains(words, " | ") {
				continue // package doctest runs these
			}
			found++
			root := command.New(command.Terminal{Getenv: func(string) string { return "" }})
			c, args, err := root.Find(regexp.MustCompile(`'[^']*'|\S+`).FindAllString(words, -1))
			if err == nil {
				err = c.ParseFlags(args)
			}
			if err == nil && c.Args != nil {
				err = c.Args(c, c.Flags().Args())
			}
			if err != nil || c == root {
				t.Errorf("%s: %v", words, err)
			}
			if c.Name() == "explain" { // the paths are from the root of the repository
				line := strings.NewReplacer(" -d api", " -d "+api, " configs/", " ../../../../configs/").Replace(words)
				if out := (shell{}).run(t, "kratos-mqtt "+line); !strings.Contains(out, "/device.v1.DeviceEvents/RecordTelemetry") || strings.Contains(out, "exit code") {
					t.Errorf("%s:\n%s", line, out)
				}
			}
		}
	}
	if found == 0 {
		t.Error("the page has no commands")
	}
}
