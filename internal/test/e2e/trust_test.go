package e2e

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// rules are the access rules of the guide.
func rules(t *testing.T) []string {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs", "guide", "trust.md"))
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?ms)^```acl\n(.*?)^```$").FindSubmatch(page)
	if block == nil {
		t.Fatal("the guide shows no access rules")
	}
	return strings.Split(strings.TrimSpace(string(block[1])), "\n")
}

// At RabbitMQ a device with the permissions of the guide publishes on its own topics
// only, and cannot subscribe to topics of others.
func TestPermissionsOfTheGuide(t *testing.T) {
	t.Parallel()
	b := mqtttest.RabbitMQ(t, mqtttest.WithRabbitMQConfig("mqtt.allow_anonymous = false"))
	page, err := os.ReadFile(filepath.Join(root, "docs", "guide", "trust.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile("(?m)^rabbitmqctl (.*)$").FindAllSubmatch(page, -1)
	if len(commands) != 2 {
		t.Fatalf("the guide shows %d commands, want 2", len(commands))
	}
	b.Control("add_user", "device-1", "any")
	for _, command := range commands {
		b.Control(strings.Fields(strings.ReplaceAll(string(command[1]), "'", ""))...)
	}
	seen := make(chan string, 8)
	witness := mqttbroker.NewBroker(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithAuth("guest", "guest"))
	_, err = witness.Subscribe("devices/#", func(_ context.Context, e broker.Event) error {
		seen <- e.Topic()
		return nil
	}, nil, mqttbroker.WithSubscribeBroad())
	if err != nil {
		t.Fatal(err)
	}
	if err := witness.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = witness.Disconnect() })

	nobody := mqttbroker.NewBroker(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithFailFast(true))
	if err := nobody.Start(t.Context()); err == nil {
		t.Error("the broker takes a client without a login")
		_ = nobody.Disconnect()
	}
	device := func(publish func(p *mqttbroker.Publisher) error) error {
		p, err := mqttbroker.NewPublisher(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("3.1.1"),
			mqttbroker.WithAuth("device-1", "any"), mqttbroker.WithClientId("device-1"))
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = p.Stop(context.Background()) }()
		return publish(p)
	}
	// RabbitMQ ends the connection over a topic that is forbidden.
	for _, topic := range []string{"devices/device-2/data", "devices/device-1/commands", "devices/device-1/data/more"} {
		err := device(func(p *mqttbroker.Publisher) error {
			return p.Publish(t.Context(), topic, []byte("{}"), event.QoS(1))
		})
		if err == nil {
			t.Errorf("publish on %s: no error", topic)
		}
	}
	for _, topic := range []string{"devices/device-1/data", "devices/device-1/heartbeat", "devices/device-1/state/get"} {
		if err := device(func(p *mqttbroker.Publisher) error {
			return p.Publish(t.Context(), topic, []byte("{}"), event.QoS(1))
		}); err != nil {
			t.Errorf("publish on %s: %v", topic, err)
		}
		select {
		case got := <-seen:
			if got != topic {
				t.Errorf("the broker passed on %s, want %s", got, topic)
			}
		case <-time.After(startTimeout):
			t.Errorf("%s does not arrive", topic)
		}
	}

	reader := mqttbroker.NewBroker(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("3.1.1"),
		mqttbroker.WithAuth("device-1", "any"), mqttbroker.WithClientId("device-1"))
	if err := reader.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = reader.Disconnect() })
	for filter, allowed := range map[string]bool{"devices/+/commands": false, "reply/device-2/x": false, "devices/device-1/commands": true} {
		_, err := reader.Subscribe(filter, func(context.Context, broker.Event) error { return nil }, nil)
		if (err == nil) != allowed {
			t.Errorf("subscribe to %s: %v, allowed %t", filter, err, allowed)
		}
	}
}

// login is a data layer with a user name that is also its client id.
func login(t *testing.T, address, user string) *mqttbroker.Publisher {
	t.Helper()
	p, err := mqttbroker.NewPublisher(broker.WithAddress(address), mqttbroker.WithProtocol("5"),
		mqttbroker.WithAuth(user, "any"), mqttbroker.WithClientId(user))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	return p
}

// With the access rules of the guide the reference service works at Mosquitto. A device
// can do what it should, and can neither read nor write topics of others.
func TestAccessRulesOfTheGuide(t *testing.T) {
	t.Parallel()
	// Without a limit of its queues Mosquitto ends connections for forbidden publishes.
	b := mqtttest.Mosquitto(t, mqtttest.WithACL(rules(t)...), mqtttest.WithConfig("max_queued_messages 100000"))
	db, _ := database(t)
	service := start(t, changed(t, "saver.yaml", "    client_id:", "    username: report-service\n    password: any\n    client_id:"),
		"KM_MQTT_BROKER="+b.URL(), "KM_MQTT_CLIENT_ID=report-service", db)
	awaitReady(t, service)
	d1 := login(t, b.URL(), "d1")
	allowed := func(topic, payload string) {
		t.Helper()
		if err := d1.Publish(t.Context(), topic, []byte(payload), event.QoS(1)); err != nil {
			t.Errorf("publish on %s: %v", topic, err)
		}
	}
	const data = `{"temperature": 20, "timestamp": 1778068800}`
	allowed("devices/d1/data", data)
	allowed("devices/d1/heartbeat", `{}`)
	wantListed(t, service.base+"/v1/devices/d1/telemetry", `"temperature":20`)
	wantListed(t, service.base+"/v1/devices/d1/state", `"online":true`)

	for _, topic := range []string{
		"devices/d2/data", "devices/d2/heartbeat", "devices/d2/state/get", "devices/d1/commands", "devices/d2/commands",
		"reports/event", "reports/user", "alerts/temperature", "dead-letter/report-service/00/x", "reply/d1/x", "reply/d2/x", "reply/report-service/x",
	} {
		err := d1.Publish(t.Context(), topic, []byte(data), event.QoS(1))
		if e, ok := errors.AsType[*event.Error](err); !ok || e.Reason != event.ReasonNotAuthorized {
			t.Errorf("publish on %s: %v, want NOT_AUTHORIZED", topic, err)
		}
	}
	wantListed(t, service.base+"/v1/devices/d2/state", `"online":false`)

	// A device reads its own commands only, whatever it subscribes to.
	seen := make(chan string, 8)
	device := mqttbroker.NewBroker(broker.WithAddress(b.URL()), mqttbroker.WithProtocol("5"), mqttbroker.WithAuth("d1", "any"))
	_, err := device.Subscribe("#", func(_ context.Context, e broker.Event) error {
		seen <- e.Topic()
		return nil
	}, nil, mqttbroker.WithSubscribeBroad())
	if err != nil {
		t.Fatal(err)
	}
	if err := device.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = device.Disconnect() })
	for _, to := range []string{"d2", "d1"} {
		resp, err := client(t).Post(service.base+"/v1/devices/"+to+"/commands", "application/json", strings.NewReader(`{"name": "open"}`))
		if err != nil {
			t.Fatal(err)
		}
		if _ = resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Fatalf("command to %s: status %d", to, resp.StatusCode)
		}
	}
	select {
	case topic := <-seen:
		if topic != "devices/d1/commands" {
			t.Errorf("device d1 reads %s", topic)
		}
	case <-time.After(startTimeout):
		t.Error("device d1 does not get its command")
	}
	if len(seen) > 0 {
		t.Errorf("device d1 reads %s, too", <-seen)
	}
}
