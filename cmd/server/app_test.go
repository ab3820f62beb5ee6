package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/durationpb"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

// The tests are not parallel, because Kratos makes the logger of each app the global
// one.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds the wait for things that take milliseconds on an idle machine.
const patience = time.Minute

// allInOne is the configuration of the whole service on free ports, with one database
// file.
func allInOne(source string) *conf.Bootstrap {
	return &conf.Bootstrap{
		Server: &conf.Server{
			Http:     &conf.Server_HTTP{Addr: "127.0.0.1:0"},
			Grpc:     &conf.Server_GRPC{Addr: "127.0.0.1:0"},
			Mqtt:     &kratosmqttv1.Subscriber{},
			Embedded: &conf.Server_Embedded{Addr: "127.0.0.1:0"},
		},
		Mqtt:   &conf.MQTT{Connection: &kratosmqttv1.Connection{ClientId: "test"}},
		Data:   &conf.Data{Database: &conf.Data_Database{Source: source}},
		Device: &conf.Device{TemperatureLimit: new(60.0)},
	}
}

// running is a service that runs in this process.
type running struct {
	app    *kratos.App
	client *http.Client
	stop   func() // and waits
	url    string // of HTTP
	broker string // of MQTT
}

func start(t *testing.T, c *conf.Bootstrap) *running {
	t.Helper()
	return startWith(t, c, quiet())
}

func startWith(t *testing.T, c *conf.Bootstrap, logger log.Logger) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	started := make(writes, 1)
	app, cleanup, err := wireApp(ctx, c, source{}, "test", "1.2.3", logger, started)
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		defer cleanup()
		done <- app.Run()
	}()
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	r := &running{app: app, client: &http.Client{Transport: transport, Timeout: patience}}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		transport.CloseIdleConnections()
	})
	t.Cleanup(r.stop)
	select {
	case banner := <-started:
		r.url, r.broker = find(t, banner, "http"), find(t, banner, "mqtt")
	case <-time.After(patience):
		t.Fatal("not started in time")
	}
	return r
}

// writes forwards what is written, while there is a reader.
type writes chan string

func (w writes) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// find returns the first address with the given scheme.
func find(t *testing.T, text, scheme string) string {
	t.Helper()
	address := regexp.MustCompile(scheme + `://127\.0\.0\.1:\d+`).FindString(text)
	if address == "" {
		t.Fatalf("no %s address in %q", scheme, text)
	}
	return address
}

func quiet() log.Logger {
	return log.NewFilter(log.DefaultLogger, log.FilterLevel(log.LevelWarn))
}

func eventually(t *testing.T, met func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); !met(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatal("not met in time")
		}
	}
}

// post posts report number n and reports whether it was accepted.
func (r *running) post(t *testing.T, n int) bool {
	t.Helper()
	body := fmt.Sprintf(`{"report_type":"event","app_id":"a","app_key":"k","event_name":"e","content":"{\"n\":%d}"}`, n)
	res, err := r.client.Post(r.url+"/v1/reports", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		return false
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusOK
}

// list returns the entries of a list.
func (r *running) list(t *testing.T, path, member string) []map[string]any {
	t.Helper()
	res, err := r.client.Get(r.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	var entries []map[string]any
	for _, entry := range answer[member].([]any) {
		entries = append(entries, entry.(map[string]any))
	}
	return entries
}

func TestReportBecomesARow(t *testing.T) {
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	if !r.post(t, 1) {
		t.Fatal("the very first report was refused")
	}
	eventually(t, func() bool { return len(r.list(t, "/v1/reports", "reports")) == 1 })
	if data := r.list(t, "/v1/reports", "reports")[0]["reportData"]; data != `{"n":1}` {
		t.Errorf("stored %v", data)
	}
}

// Reports that are accepted before a stop are stored after it, although the in-process
// broker ends with the process.
func TestStopLosesNothing(t *testing.T) {
	source := filepath.Join(t.TempDir(), "test.db")
	r := start(t, allInOne(source))
	var accepted sync.Map
	var posting sync.WaitGroup
	var once sync.Once
	for client := range 8 {
		posting.Go(func() {
			for i := range 1000 {
				n := client*1000 + i
				if !r.post(t, n) {
					return // stopped
				}
				accepted.Store(float64(n), true)
				if i == 50 {
					once.Do(func() { go r.stop() })
				}
			}
		})
	}
	posting.Wait()
	r.stop()
	again := start(t, allInOne(source))
	stored := make(map[float64]bool)
	for _, entry := range all(t, again) {
		var content struct{ N float64 }
		if err := json.Unmarshal([]byte(entry["reportData"].(string)), &content); err != nil {
			t.Fatal(err)
		}
		stored[content.N] = true
	}
	total, lost := 0, 0
	accepted.Range(func(n, _ any) bool {
		total++
		if !stored[n.(float64)] {
			lost++
		}
		return true
	})
	if total < 51 || lost > 0 {
		t.Errorf("lost %d of %d accepted reports", lost, total)
	}
}

// all reads all pages of the reports.
func all(t *testing.T, r *running) []map[string]any {
	t.Helper()
	var entries []map[string]any
	for path := "/v1/reports?page_size=1000"; ; {
		res, err := r.client.Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Reports       []map[string]any
			NextPageToken string
		}
		err = json.NewDecoder(res.Body).Decode(&page)
		_ = res.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		entries = append(entries, page.Reports...)
		if page.NextPageToken == "" {
			return entries
		}
		path = "/v1/reports?page_size=1000&page_token=" + page.NextPageToken
	}
}

func TestTelemetryRaisesAnAlert(t *testing.T) {
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	device := paho.NewClient(paho.NewClientOptions().AddBroker(r.broker).SetClientID("device").SetAutoReconnect(false))
	if err := wait(device.Connect()); err != nil {
		t.Fatal(err)
	}
	defer device.Disconnect(100)
	alerts := make(chan []byte, 10)
	err := wait(device.Subscribe("alerts/#", 1, func(_ paho.Client, m paho.Message) { alerts <- m.Payload() }))
	if err != nil {
		t.Fatal(err)
	}
	r.post(t, 0) // returns once the service is subscribed
	for _, reading := range []string{
		`{"temperature":20,"humidity":40,"timestamp":1778068800,"event_id":"r1"}`,
		`{"temperature":61.5,"timestamp":"2026-05-06T12:00:01Z","door":"open"}`,
		`{"temperature":61.5,"timestamp":"2026-05-06T12:00:01Z","door":"open"}`, // a redelivery
	} {
		if err := wait(device.Publish("devices/d1/data", 1, false, reading)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := receive(t, alerts), receive(t, alerts)
	if first["kind"] != "temperature" || first["deviceId"] != "d1" || first["value"] != 61.5 || first["limit"] != 60.0 {
		t.Errorf("alert %v", first)
	}
	if !reflect.DeepEqual(first, second) {
		t.Errorf("the redelivery raised another alert: %v and %v", first, second)
	}
	readings := r.list(t, "/v1/devices/d1/telemetry", "telemetry")
	if len(readings) != 2 || readings[1]["eventId"] != "r1" || !reflect.DeepEqual(readings[0]["sensors"], map[string]any{"door": "open"}) {
		t.Errorf("stored %v", readings)
	}
	stored := r.list(t, "/v1/alerts", "alerts")
	if len(stored) != 1 || stored[0]["eventId"] != first["eventId"] {
		t.Errorf("stored alerts %v", stored)
	}
}

// A device on the in-process broker, which speaks MQTT 5, sends a heartbeat, receives a
// command, and its state is known.
func TestDeviceIsSeenAndTold(t *testing.T) {
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	device := paho.NewClient(paho.NewClientOptions().AddBroker(r.broker).SetClientID("device").SetAutoReconnect(false))
	if err := wait(device.Connect()); err != nil {
		t.Fatal(err)
	}
	defer device.Disconnect(100)
	commands := make(chan []byte, 10)
	err := wait(device.Subscribe("devices/d1/commands", 2, func(_ paho.Client, m paho.Message) { commands <- m.Payload() }))
	if err != nil {
		t.Fatal(err)
	}
	r.post(t, 0) // returns once the service is subscribed
	if state := r.object(t, http.MethodGet, "/v1/devices/d1/state", ""); state["online"] != false {
		t.Errorf("never seen: %v", state)
	}
	for topic, payload := range map[string]string{
		"devices/d1/heartbeat": `{"deviceId":"the topic wins"}`,
		"devices/d1/data":      `{"temperature":20,"timestamp":1778068800,"event_id":"r1"}`,
	} {
		if err := wait(device.Publish(topic, 1, false, payload)); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, func() bool {
		state := r.object(t, http.MethodGet, "/v1/devices/d1/state", "")
		reading, _ := state["lastTelemetry"].(map[string]any)
		return state["online"] == true && state["lastSeen"] != nil && reading["eventId"] == "r1"
	})
	accepted := r.object(t, http.MethodPost, "/v1/devices/d1/commands", `{"name":"restart","arguments":{"delay":5}}`)
	got := receive(t, commands)
	want := map[string]any{"commandId": accepted["commandId"], "deviceId": "d1", "name": "restart", "arguments": map[string]any{"delay": 5.0}}
	if accepted["commandId"] == nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// object returns the decoded answer to one request.
func (r *running) object(t *testing.T, method, path, body string) map[string]any {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", path, res.StatusCode, answer)
	}
	return answer
}

func wait(token paho.Token) error {
	if !token.WaitTimeout(patience) {
		return context.DeadlineExceeded
	}
	return token.Error()
}

func receive(t *testing.T, payloads <-chan []byte) map[string]any {
	t.Helper()
	select {
	case payload := <-payloads:
		var message map[string]any
		if err := json.Unmarshal(payload, &message); err != nil {
			t.Fatalf("%s: %v", payload, err)
		}
		return message
	case <-time.After(patience):
		t.Fatal("nothing received in time")
		return nil
	}
}

func TestStopRightAfterTheStart(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel() // like a signal that arrives before anything has started
	app, cleanup, err := wireApp(ctx, withoutDatabase(), source{}, "test", "1.2.3", quiet(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	defer cleanup()
	if err := app.Run(); err != nil {
		t.Error(err)
	}
}

// withoutDatabase is the configuration of a collector, which starts without migrations.
func withoutDatabase() *conf.Bootstrap {
	c := allInOne("")
	c.Data, c.Server.Mqtt = nil, nil
	return c
}

func TestAppDescribesItself(t *testing.T) {
	r := start(t, allInOne(conf.MemorySource))
	if r.app.ID() == "" || r.app.Name() != "test" || r.app.Version() == "" {
		t.Errorf("%q %q %q", r.app.ID(), r.app.Name(), r.app.Version())
	}
	if r.app.Metadata()["subscribes"] != "true" {
		t.Errorf("metadata %v", r.app.Metadata())
	}
}

// Without a broker a report is refused, before the timeout of its client.
func TestBrokerDown(t *testing.T) {
	c := withoutDatabase()
	c.Server.Embedded = nil
	c.Server.Http.Timeout = durationpb.New(500 * time.Millisecond)
	c.Mqtt.Connection.Addresses = []string{"mqtt://" + port.Address(t)}
	r := start(t, c)
	began := time.Now()
	code, reason := r.refused(t)
	if took := time.Since(began); code != 503 || reason != "BROKER_UNAVAILABLE" || took > patience/2 {
		t.Errorf("got %d %s after %s", code, reason, took)
	}
}

func (r *running) refused(t *testing.T) (code int, reason string) {
	t.Helper()
	body := `{"report_type":"event","app_id":"a","app_key":"k","event_name":"e","content":"{}"}`
	res, err := r.client.Post(r.url+"/v1/reports", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Reason string }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, answer.Reason
}
