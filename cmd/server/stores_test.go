package main

import (
	"context"
	"database/sql"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	_ "modernc.org/sqlite"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadletterfile"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
	"github.com/kratos-mqtt/kratos-mqtt/internal/test/port"
)

// letterKeepers returns the kinds of dead-letter stores, each with a function that reads
// the topics of the stored dead letters without the service.
func letterKeepers(t *testing.T, source, file string) map[string]func(r *running) []string {
	t.Helper()
	return map[string]func(*running) []string{
		conf.DriverSQL: func(*running) []string {
			db, err := sql.Open("sqlite", source)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			var topic string
			if err := db.QueryRow("SELECT topic FROM mqtt_dead_letter").Scan(&topic); err != nil {
				return nil
			}
			return []string{topic}
		},
		conf.DriverFile: func(r *running) []string {
			r.stop() // it holds the file open
			store, err := deadletterfile.Open(file, deadletterfile.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer store.Close()
			letters, err := store.List(context.Background(), deadletter.Query{})
			if err != nil || len(letters) != 1 {
				t.Fatalf("letters %v, %v", letters, err)
			}
			return []string{letters[0].Topic}
		},
		conf.DriverRetained: func(r *running) []string {
			found := make(chan bool, 10)
			reader := connectDevice(t, r.broker, "reader")
			defer reader.Disconnect(100)
			if err := wait(reader.Subscribe("dead-letter/test/+/+", 1, func(_ paho.Client, m paho.Message) { found <- m.Retained() })); err != nil {
				t.Fatal(err)
			}
			select {
			case retained := <-found:
				if retained { // otherwise it was published after the subscription
					return []string{"reports/event"}
				}
			case <-time.After(100 * time.Millisecond):
			}
			return nil
		},
	}
}

// A message that no handler can handle is acknowledged and stored in the configured
// dead-letter store.
func TestDeadLetters(t *testing.T) {
	for driver := range letterKeepers(t, "", "") {
		t.Run(driver, func(t *testing.T) {
			folder := t.TempDir()
			source, file := filepath.Join(folder, "test.db"), filepath.Join(folder, "letters.db")
			c := allInOne(source)
			c.Mqtt.DeadLetters = &kratosmqttv1.DeadLetters{Driver: driver, Path: file}
			r := start(t, c)
			r.post(t, 0) // returns once the service is subscribed
			device := connectDevice(t, r.broker, "device")
			if err := wait(device.Publish("reports/event", 1, false, "\xff no protobuf")); err != nil {
				t.Fatal(err)
			}
			// The next message of the topic is handled after it.
			if !r.post(t, 1) {
				t.Fatal("refused")
			}
			eventually(t, func() bool { return len(r.list(t, "/v1/reports", "reports")) == 2 })
			keeper := letterKeepers(t, source, file)[driver]
			var topics []string
			eventually(t, func() bool {
				topics = keeper(r)
				return len(topics) > 0
			})
			if topics[0] != "reports/event" {
				t.Errorf("letters of %v", topics)
			}
		})
	}
}

func connectDevice(t *testing.T, broker, id string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(broker).SetClientID(id).SetAutoReconnect(false))
	if err := wait(c.Connect()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Disconnect(100) })
	return c
}

// With an outbox, reports are accepted while the broker is down, up to the bound of the
// outbox, and wait there.
func TestOutboxWithoutBroker(t *testing.T) {
	for _, driver := range []string{conf.DriverFile, conf.DriverMemory} {
		t.Run(driver, func(t *testing.T) {
			c := withoutDatabase()
			c.Server.Embedded = nil
			c.Mqtt.Connection.Addresses = []string{"mqtt://" + port.Address(t)}
			c.Mqtt.Outbox = &kratosmqttv1.Outbox{Driver: driver, Path: filepath.Join(t.TempDir(), "outbox.db"), MaxEntries: 2}
			r := start(t, c)
			for n := range 2 {
				if !r.post(t, n) {
					t.Fatalf("report %d was refused", n)
				}
			}
			body := `{"report_type":"event","app_id":"a","app_key":"k","event_name":"e","content":"{}"}`
			res, err := r.client.Post(r.url+"/v1/reports", "application/json", strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" {
				t.Errorf("got %d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
			}
		})
	}
}

// Every kind of outbox delivers reports to the database, and those that are in it when
// the service stops are stored before the service has ended.
func TestEveryOutbox(t *testing.T) {
	for _, driver := range []string{conf.DriverFile, conf.DriverSQL, conf.DriverMemory, conf.DriverNone} {
		t.Run(driver, func(t *testing.T) {
			source := filepath.Join(t.TempDir(), "test.db")
			c := allInOne(source)
			c.Mqtt.Outbox = &kratosmqttv1.Outbox{Driver: driver, Path: filepath.Join(t.TempDir(), "outbox.db")}
			r := start(t, c)
			for n := range 20 {
				if !r.post(t, n) {
					t.Fatalf("report %d was refused", n)
				}
			}
			r.stop()
			again := start(t, allInOne(source))
			if rows := len(again.list(t, "/v1/reports", "reports")); rows != 20 {
				t.Errorf("%d rows of 20 accepted reports", rows)
			}
		})
	}
}
