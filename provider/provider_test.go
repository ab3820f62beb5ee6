package provider_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/configfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/provider"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestConfigurationOnly uses an outbox, a dedup window and dead letters across a restart,
// all from the configuration alone.
func TestConfigurationOnly(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	dir := t.TempDir()
	text := fmt.Sprintf(`
connection: {addresses: [%s], client_id: configured, protocol: "5"}
outbox: {driver: file, path: %s}
dedup: {driver: memory}
dead_letters: {path: %s}
`, b.URL(), filepath.Join(dir, "outbox.db"), filepath.Join(dir, "letters.db"))
	c := new(v1.Settings)
	err := configfile.Parse("c.yaml", []byte(text), c, func(string) (string, bool) { return "", false }, func() error { return mqttbroker.Check(c, false) })
	if err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		configured(t, c, fmt.Sprint("round ", n))
	}
}

func configured(t *testing.T, c *v1.Settings, text string) {
	t.Helper()
	s, closeStores, err := provider.Stores(c, provider.NoDatabase(), log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStores()
	b, disconnect, err := provider.Broker(c, s, log.DefaultLogger)
	if err != nil {
		t.Fatal(err)
	}
	defer disconnect()
	srv := provider.Server(c, s, log.DefaultLogger)
	got := make(chan string, 10)
	err = mqttserver.RegisterSubscriber(srv, t.Context(), "good", func(_ context.Context, _ string, _ broker.Headers, m *wrapperspb.StringValue) error {
		got <- m.GetValue()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := srv.Start(ctx); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = srv.Stop(context.WithoutCancel(ctx)) }()
	for range 2 { // with the same id: handled once
		if err := b.Publish(ctx, "good", &broker.Message{ID: text, Body: wrapperspb.String(text)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Publish(ctx, "good", broker.NewMessage(wrapperspb.String("last"))); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{text, "last"} {
		select {
		case value := <-got:
			if value != want {
				t.Errorf("handled %q, want %q", value, want)
			}
		case <-ctx.Done():
			t.Fatalf("%q was not handled", want)
		}
	}
	if stats, err := s.DeadLetters.Stats(ctx); err != nil || stats.Dead+stats.Parked > 0 {
		t.Errorf("dead letters: %+v, %v", stats, err)
	}
}
