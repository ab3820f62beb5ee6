package doctor_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/doctor"
)

var update = flag.Bool("update", false, "write the tables of docs/brokers")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The tables of docs/brokers are what the doctor measures.
func TestBrokers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page, preset string
		start        func(t *testing.T) mqtttest.Broker
	}{
		{"in-process", "", func(t *testing.T) mqtttest.Broker { return mqtttest.InProcess(t) }},
		{"mosquitto", "mosquitto", func(t *testing.T) mqtttest.Broker {
			return mqtttest.Mosquitto(t, mqtttest.WithConfig("max_queued_messages 1000")) // its default
		}},
		{"rabbitmq", "rabbitmq", func(t *testing.T) mqtttest.Broker { return mqtttest.RabbitMQ(t) }},
		{"ejabberd", "", func(t *testing.T) mqtttest.Broker { return mqtttest.Ejabberd(t) }},
		{"nats", "nats", func(t *testing.T) mqtttest.Broker { return mqtttest.NATS(t) }},
		{"aedes", "nats", func(t *testing.T) mqtttest.Broker { return mqtttest.Aedes(t) }},
	} {
		t.Run(c.page, func(t *testing.T) {
			t.Parallel()
			broker := c.start(t)
			r := run(t, &v1.Connection{Addresses: []string{broker.URL()}})
			if r.Preset != c.preset {
				t.Errorf("preset %q (%s), want %q", r.Preset, r.Reason, c.preset)
			}
			table(t, filepath.Join("../../../../docs/brokers", c.page+".md"), r.Markdown())
			for _, f := range r.Findings {
				t.Logf("%+v", f)
			}
			t.Log(r.Settings, r.Reason)
		})
	}
}

func run(t *testing.T, c *v1.Connection) *doctor.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	r, err := doctor.Run(ctx, doctor.Options{Connection: c, Wait: 20 * time.Second, Quiet: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

const (
	tableBegin = "<!-- measured by kratos-mqtt doctor: see CONTRIBUTING.md -->\n"
	tableEnd   = "<!-- end -->\n"
)

// table compares a table with that of a page, or writes it.
func table(t *testing.T, page, want string) {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), tableBegin)
	got, after, closed := strings.Cut(rest, tableEnd)
	if !ok || !closed {
		t.Fatalf("%s has no place for the table: want %q and %q", page, tableBegin, tableEnd)
	}
	if *update {
		if err := os.WriteFile(page, []byte(before+tableBegin+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got != want {
		t.Errorf("%s differs from what is measured; if that is right, run make broker-tables.\ngot\n%swant\n%s", page, got, want)
	}
}
