package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// sender is a client of another maker, which knows only the topic and JSON.
type sender struct {
	name string
	send func(t *testing.T, broker *url.URL, topic, payload string)
}

func senders() []sender {
	return []sender{
		{"mosquitto_pub", mosquittoPub},
		{"MQTT.js", mqttJS},
	}
}

func TestForeignDevice(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	broker, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	db, _ := database(t)
	saver := start(t, "saver.yaml", "KM_MQTT_BROKER="+b.URL(), "KM_MQTT_CLIENT_ID=devices", db)
	awaitReady(t, saver)
	for i, s := range senders() {
		t.Run(s.name, func(t *testing.T) {
			device := fmt.Sprintf("sensor-%d", i)
			s.send(t, broker, "devices/"+device+"/data",
				`{"temperature": 61.5, "humidity": 40, "timestamp": "2026-01-02T03:04:05Z", "pressure": 1013}`)
			wantListed(t, saver.base+"/v1/devices/"+device+"/telemetry", `"pressure":1013`)
			wantListed(t, saver.base+"/v1/alerts", device) // it is above the limit of the configuration
		})
	}
}

// wantListed waits until the listing shows the text.
func wantListed(t *testing.T, address, want string) {
	t.Helper()
	c := client(t)
	mqtttest.Eventually(t, startTimeout, func() error {
		resp, err := c.Get(address)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK || !json.Valid(text) || !contains(string(text), want) {
			return fmt.Errorf("%s: status %d: %s", address, resp.StatusCode, text)
		}
		return nil
	})
}

func mosquittoPub(t *testing.T, broker *url.URL, topic, payload string) {
	t.Helper()
	path := need(t, "mosquitto_pub")
	run(t, exec.Command(path, "-h", broker.Hostname(), "-p", broker.Port(), "-q", "1", "-t", topic, "-m", payload))
}

// mqttJSScript publishes and waits for the acknowledgement.
const mqttJSScript = `
const client = require('mqtt').connect(process.argv[1], {reconnectPeriod: 0});
const fail = (err) => { console.error(err); process.exit(1); };
client.on('error', fail);
client.on('connect', () => client.publish(process.argv[2], process.argv[3], {qos: 1},
  (err) => err ? fail(err) : client.end()));
`

func mqttJS(t *testing.T, broker *url.URL, topic, payload string) {
	t.Helper()
	node := need(t, "node")
	modules := filepath.Join(root, ".tools", "npm", "node_modules")
	if _, err := os.Stat(filepath.Join(modules, "mqtt")); err != nil {
		missing(t, "MQTT.js is not installed: make npm")
	}
	cmd := exec.Command(node, "-e", mqttJSScript, broker.String(), topic, payload)
	cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
	run(t, cmd)
}

func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd.Path, err, out)
	}
}

func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		missing(t, program+" is not installed")
	}
	return path
}

// missing skips a test on a developer's machine and fails it in CI.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}
