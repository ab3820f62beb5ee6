package mqtt_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-kratos/kratos/v3/config"
	"github.com/go-kratos/kratos/v3/config/file"

	apiv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/kratosv3/transport/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A changed file reaches the server through Kratos' config, and what needs a restart is logged.
//
//nolint:paralleltest // waits for a watch of the file system
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "config.yaml")
	write := func(lines ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	address := "    addresses: [\"" + mqtttest.InProcess(t).URL() + "\"]"
	write("mqtt:", "  connection:", address, "    client_id: reloaded", "  subscriber:", "    concurrency: 4")
	c := config.New(config.WithSource(file.NewSource(path)))
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	settings := new(apiv1.Settings)
	if err := c.Value("mqtt").Scan(settings); err != nil {
		t.Fatal(err)
	}
	srv := served(t, settings, nil, &meters{})
	out := new(logs)
	if err := c.Watch("mqtt", mqttbroker.ConfigObserver[config.Value](out.logger(), srv)); err != nil {
		t.Fatal(err)
	}
	write("mqtt:", "  connection:", address, "    client_id: another", "  subscriber:", "    concurrency: 2")
	mqtttest.Eventually(t, patience, func() bool { return strings.Contains(out.String(), "client_id") })
	if text := out.String(); !strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
		t.Error(text)
	}
	write("mqtt:", "  connection:", address, "    client_id: another", "  subscriber:", "    concurrency: -2")
	mqtttest.Eventually(t, patience, func() bool { return strings.Contains(out.String(), "level=ERROR") })
	if text := out.String(); !strings.Contains(text, "concurrency") {
		t.Error(text)
	}
}

// What is published while the broker is away waits in the outbox, and is handled once it is
// back.
func TestOutbox(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	b.Refuse(true)
	waiting, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := client(t, configured(b.URL(), "publisher"), &stores.Stores{Outbox: waiting})
	for n := range 3 {
		if err := c.RecordReading(within(t), &v1.Reading{MeterId: "m1", Count: int64(n)}); err != nil {
			t.Fatal(err)
		}
	}
	got := make(chan int64, 3)
	b.Refuse(false)
	srv := mqttserver.Open(configured(b.URL(), "service"), nil, new(logs).logger())
	if err := mqttserver.RegisterSubscriber(srv, t.Context(), "meters/+/reading",
		func(_ context.Context, _ string, _ mqttbroker.Headers, in *v1.Reading) error {
			got <- in.GetCount()
			return nil
		}, mqttbroker.WithSubscribeCodec("json")); err != nil {
		t.Fatal(err)
	}
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = srv.Stop(context.Background()) })
	for n := range int64(3) {
		if count := receive(t, got); count != n {
			t.Errorf("got %d, want %d", count, n)
		}
	}
}
