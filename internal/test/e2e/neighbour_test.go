package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A device that uses the same ids as another one, by accident or not, does not affect it: each
// reading is stored and has its alert, and a repeated one causes no second alert.
func TestDevicesWithTheSameIDs(t *testing.T) {
	t.Parallel()
	const readings = 10
	b := mqtttest.Mosquitto(t)
	db, _ := database(t)
	saver := start(t, "saver.yaml", "KM_MQTT_BROKER="+b.URL(), "KM_MQTT_CLIENT_ID=same-ids", db)
	awaitReady(t, saver)
	p, err := mqttbroker.NewPublisher(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("5"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	for _, device := range []string{"A", "B", "B"} {
		for id := range readings {
			err := p.Publish(t.Context(), "devices/"+device+"/data", fmt.Appendf(nil, `{"temperature": %d, "timestamp": "2026-01-02T03:04:05Z"}`, 70+id),
				event.ID(fmt.Sprint(id+1)), event.ContentType("application/json"))
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// The last message of a topic is handled last.
	if err := p.Publish(t.Context(), "devices/B/data", []byte(`{"temperature": 1, "timestamp": "2026-01-02T03:04:05Z"}`), event.ID("last"), event.ContentType("application/json")); err != nil {
		t.Fatal(err)
	}
	c := client(t)
	mqtttest.Eventually(t, startTimeout, func() error {
		stored, err := rowsOf(c, saver.base+"/v1/devices/B/telemetry?page_size=100", "telemetry")
		if err != nil {
			return err
		}
		alerts, err := rowsOf(c, saver.base+"/v1/alerts?page_size=100", "alerts")
		if err == nil && (stored != readings+1 || alerts != readings) {
			err = fmt.Errorf("stored %d of %d readings of B and %d of %d alerts", stored, readings+1, alerts, readings)
		}
		return err
	})
}

// rowsOf counts the rows of device B in a listing.
func rowsOf(c *http.Client, address, list string) (n int, err error) {
	resp, err := c.Get(address)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	var page map[string]json.RawMessage
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil || resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("%s: status %d, %w", address, resp.StatusCode, err)
	}
	var rows []struct {
		DeviceID string `json:"deviceId"`
	}
	if page[list] != nil {
		err = json.Unmarshal(page[list], &rows)
	}
	for _, row := range rows {
		if row.DeviceID == "B" {
			n++
		}
	}
	return n, err
}
