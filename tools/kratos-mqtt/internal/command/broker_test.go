package command_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// listening starts the command broker, or dev, and returns its addresses.
func listening(t *testing.T, args ...string) (*program, map[string]string) {
	t.Helper()
	p := begin(t, "", append(args, "--json", "--address", "127.0.0.1:0")...)
	addresses := make(map[string]string)
	mqtttest.Eventually(t, patience, func() bool {
		for line := range strings.Lines(p.Out.String() + p.Err.String()) {
			if json.Unmarshal([]byte(line), &addresses) == nil && addresses["mqtt"] != "" {
				return true
			}
		}
		return false
	}, "%s", &p.Err)
	return p, addresses
}

// ends interrupts a program.
func ends(t *testing.T, p *program) {
	t.Helper()
	p.end()
	if err := p.wait(t); err != nil {
		t.Errorf("interrupted: %v", err)
	}
}

// The broker listens on every address that it prints, and keeps what its file has.
func TestBroker(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	file, tlsFolder := filepath.Join(folder, "broker.journal"), filepath.Join(folder, "tls")
	p, at := listening(t, "broker", "--tls", "127.0.0.1:0", "--ws", "127.0.0.1:0", "--file", file, "--tls-folder", tlsFolder)
	if at["ca"] != filepath.Join(tlsFolder, "ca.pem") || at["file"] != file {
		t.Errorf("%v", at)
	}
	run(t, "", "publish", "-b", at["mqtt"], "-t", "plain", "-r", "1")
	run(t, "", "publish", "-b", at["mqtts"], "--ca", at["ca"], "-t", "tls", "-r", "1")
	run(t, "", "publish", "-b", at["ws"], "-t", "ws", "-r", "1")
	if err := begin(t, "", "publish", "-b", at["mqtts"], "-t", "tls", "1").wait(t); err == nil {
		t.Error("the certificate is trusted without --ca")
	}
	ends(t, p)
	if !strings.Contains(p.Err.String(), "3 retained messages, 0 messages dropped") {
		t.Errorf("%s", &p.Err)
	}
	before := readFile(t, filepath.Join(tlsFolder, "server.pem"))
	p, at = listening(t, "broker", "--wss", "127.0.0.1:0", "--file", file, "--tls-folder", tlsFolder)
	if out := run(t, "", "tail", "-b", at["wss"], "--ca", at["ca"], "--retained", "#"); strings.Count(out, "retained") != 3 {
		t.Errorf("after a restart: %s", out)
	}
	if readFile(t, filepath.Join(tlsFolder, "server.pem")) != before {
		t.Error("the certificate was replaced although it is valid")
	}
	ends(t, p)
	if info, err := os.Stat(filepath.Join(tlsFolder, "server.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

var port = regexp.MustCompile(`:\d{4,5}`)

func TestBrokerText(t *testing.T) {
	t.Parallel()
	p := begin(t, "", "broker", "--address", "127.0.0.1:0", "--ws", "127.0.0.1:0")
	mqtttest.Eventually(t, patience, func() bool { return strings.Contains(p.Out.String(), "in memory") })
	golden(t, "broker.txt", port.ReplaceAllString(p.Out.String(), ":PORT"))
	ends(t, p)
}

func TestBrokerProblems(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	writeFile(t, filepath.Join(folder, "bad"), "# users\nops\n")
	writeFile(t, filepath.Join(folder, "none"), "# users\n")
	taken := mqtttest.InProcess(t)
	for want, args := range map[string][]string{
		"not a loopback address: --allow-remote permits it":    {"--address", "0.0.0.0:0"},
		"--server-cert and --server-key: want both or neither": {"--tls", "127.0.0.1:0", "--server-cert", "x"},
		"bad:2: want NAME:PASSWORD":                            {"--users", filepath.Join(folder, "bad")},
		"none has no users, so that nobody could connect":      {"--users", filepath.Join(folder, "none")},
		"--ws and --wss: want one of them":                     {"--ws", "127.0.0.1:0", "--wss", "127.0.0.1:0"},
		"packets of -1 bytes":                                  {"--max-packet", "-1"},
		"address already in use":                               {"--address", taken.Addr()},
		"has no certificate in PEM":                            {"--tls", "127.0.0.1:0", "--tls-folder", folder, "--client-ca", filepath.Join(folder, "none")},
	} {
		args = append([]string{"broker", "--address", "127.0.0.1:0"}, args...)
		if err := begin(t, "", args...).wait(t); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}

// dev shows what is published to its own broker, whatever the context in use is.
func TestDev(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	users, password := filepath.Join(folder, "users"), filepath.Join(folder, "password")
	writeFile(t, users, "# for the tests\nwatcher:one:two\n\nops:secret\n")
	writeFile(t, password, "secret\n")
	p, at := listening(t, "dev", "-d", api, "--users", users, "--console", "127.0.0.1:0")
	publish := func(args ...string) error {
		return begin(t, "", append([]string{"publish", "-b", at["mqtt"], "-u", "ops"}, args...)...).wait(t)
	}
	mqtttest.Eventually(t, patience, func() bool {
		if err := publish("--password-file", password, "-d", api, "--operation", "RecordTelemetry", `{"device_id":"d1","temperature":71}`); err != nil {
			t.Fatal(err)
		}
		return strings.Contains(p.Out.String(), `"operation":"/device.v1.DeviceEvents/RecordTelemetry"`)
	}, "%s", &p.Out)
	for path, want := range map[string]string{"api/info": `"publishes":true`, "api/contract": "RecordTelemetry", "api/topics": `"devices"`, "": "<html", "api/flow": "/device.v1.DeviceEvents/RecordTelemetry"} {
		if text := get(t, at["console"]+path); !strings.Contains(text, want) {
			t.Errorf("%s: %s", path, text)
		}
	}
	writeFile(t, password, "wrong")
	if err := publish("--password-file", password, "-t", "a", "x"); err == nil {
		t.Error("a wrong password is accepted")
	}
	ends(t, p)
}

// get returns what an address serves.
func get(t *testing.T, url string) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("%s: %s, %v", url, answer.Status, err)
	}
	return string(text)
}
