package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// devices is a saver at Mosquitto.
func devices(t *testing.T, env ...string) (*mqtttest.MosquittoBroker, *url.URL, *service) {
	t.Helper()
	b := mqtttest.Mosquitto(t)
	address, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	db, _ := database(t)
	saver := start(t, "saver.yaml", append(env, "KM_MQTT_BROKER="+b.URL(), "KM_MQTT_CLIENT_ID=devices", db)...)
	awaitReady(t, saver)
	return b, address, saver
}

// A subscribed device of another maker receives a posted command, once.
func TestForeignDeviceGetsCommands(t *testing.T) {
	t.Parallel()
	_, address, saver := devices(t)
	lines := subscribe(t, address, "devices/robot-1/commands")
	answer, err := client(t).Post(saver.base+"/v1/devices/robot-1/commands", "application/json",
		bytes.NewReader([]byte(`{"name":"turn","arguments":{"degrees":90}}`)))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	var accepted struct{ CommandID string }
	if err != nil || answer.StatusCode != http.StatusOK || json.Unmarshal(text, &accepted) != nil || accepted.CommandID == "" {
		t.Fatalf("status %d: %s, %v", answer.StatusCode, text, err)
	}
	var got struct {
		CommandID, DeviceID, Name string
		Arguments                 map[string]any
	}
	line := <-lines
	payload, qos2 := bytes.CutPrefix([]byte(line), []byte("2 "))
	if !qos2 || json.Unmarshal(payload, &got) != nil ||
		got.CommandID != accepted.CommandID || got.DeviceID != "robot-1" || got.Name != "turn" || got.Arguments["degrees"] != 90.0 {
		t.Errorf("got %q, want command %s at QoS 2", line, accepted.CommandID)
	}
}

// subscribe runs mosquitto_sub at QoS 2 until the end of the test. Each line has the QoS and the
// payload of a message.
func subscribe(t *testing.T, address *url.URL, filter string) <-chan string {
	t.Helper()
	return subscribeAs(t, address, "%q %p", filter)
}

// granted is the topic of a retained message, which arrives only after the SUBACK.
const granted = "granted"

// subscribeAs is subscribe with another format of lines.
func subscribeAs(t *testing.T, address *url.URL, format, filter string) <-chan string {
	t.Helper()
	run(t, exec.Command(need(t, "mosquitto_pub"), "-h", address.Hostname(), "-p", address.Port(),
		"-q", "1", "-r", "-t", granted, "-m", granted))
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	cmd := exec.CommandContext(ctx, need(t, "mosquitto_sub"), "-h", address.Hostname(), "-p", address.Port(),
		"-q", "2", "-t", filter, "-t", granted, "-F", format)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 16)
	go func() {
		defer close(lines)
		for text := bufio.NewScanner(out); text.Scan(); {
			lines <- text.Text()
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range lines { // until nothing more comes
		}
		_ = cmd.Wait() // it was killed
	})
	if line := <-lines; !contains(line, granted) && !contains(line, fmt.Sprintf("%x", granted)) {
		t.Fatalf("got %q before the subscription", line)
	}
	return lines
}

// A heartbeat at QoS 0 makes a device online, whatever else it has sent.
func TestHeartbeatOfAForeignDevice(t *testing.T) {
	t.Parallel()
	_, address, saver := devices(t)
	state := saver.base + "/v1/devices/robot-2/state"
	wantListed(t, state, `"online":false`)
	run(t, exec.Command(need(t, "mosquitto_pub"), "-h", address.Hostname(), "-p", address.Port(),
		"-q", "0", "-t", "devices/robot-2/heartbeat", "-m", "{}"))
	wantListed(t, state, `"online":true`)
	mosquittoPub(t, address, "devices/robot-2/data", `{"temperature": 20, "timestamp": 1778068800}`)
	wantListed(t, state, `"temperature":20`)
}

// A heartbeat that the broker has retained for long makes no device online when the service starts.
// A current one does, retained or not.
func TestARetainedHeartbeatIsOld(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.Mosquitto(t)
			address, err := url.Parse(b.URL())
			if err != nil {
				t.Fatal(err)
			}
			beat := func(device string) {
				run(t, exec.Command(need(t, "mosquitto_pub"), "-h", address.Hostname(), "-p", address.Port(),
					"-q", "1", "-r", "-t", "devices/"+device+"/heartbeat", "-m", "{}"))
			}
			beat("dead")
			db, _ := database(t)
			for _, live := range []string{"live-1", "live-2"} {
				saver := start(t, "saver.yaml", "KM_MQTT_BROKER="+b.URL(), "KM_MQTT_CLIENT_ID=devices", "KM_MQTT_PROTOCOL="+protocol, db)
				awaitReady(t, saver)
				beat(live) // after the retained messages of the SUBSCRIBE
				wantListed(t, saver.base+"/v1/devices/"+live+"/state", `"online":true`)
				wantListed(t, saver.base+"/v1/devices/dead/state", `"online":false`)
				saver.stop(t)
			}
		})
	}
}

// On MQTT 5 the state is the reply to a request. MQTT 3.1.1 has no response topic: requests time
// out, and everything else works.
func TestStateByRequest(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		protocol, preset string
		answered         bool
	}{{"5", "", true}, {"3.1.1", "mosquitto", false}, {"", "mosquitto", true}} {
		t.Run(test.protocol+test.preset, func(t *testing.T) {
			t.Parallel()
			b, address, saver := devices(t, "KM_MQTT_PROTOCOL="+test.protocol, "KM_MQTT_PRESET="+test.preset)
			mosquittoPub(t, address, "devices/robot-3/heartbeat", "{}")
			wantListed(t, saver.base+"/v1/devices/robot-3/state", `"online":true`)
			timeout := startTimeout
			if !test.answered {
				timeout = time.Second
			}
			state, err := requestState(t, b.URL(), timeout)
			if test.answered && (err != nil || !state.Online || state.DeviceId != "robot-3" || state.LastSeen == nil) {
				t.Errorf("got %v, %v", state, err)
			}
			if !test.answered && err == nil {
				t.Errorf("got %v without a response topic", state)
			}
		})
	}
}

// requestState requests a state with the generated client, as a service would.
func requestState(t *testing.T, address string, timeout time.Duration) (*devicev1.DeviceState, error) {
	t.Helper()
	b := mqttbroker.NewBroker(broker.WithAddress(address), mqttbroker.WithProtocol("5"))
	if err := b.Init(); err != nil {
		return nil, fmt.Errorf("init: %w", err)
	}
	if err := b.Connect(); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = b.Disconnect() }()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	return devicev1.NewDeviceEventsMQTTClient(mqttbroker.NewClientConn(b)).
		GetDeviceState(ctx, &devicev1.GetDeviceStateRequest{DeviceId: "robot-3"})
}
