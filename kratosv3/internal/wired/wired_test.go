package wired

import (
	"context"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/emptypb"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// meters counts what it handles. It has no totals.
type meters struct {
	v1.MeterEventsMQTTServer
	got chan int64
}

func (m *meters) RecordReading(_ context.Context, in *v1.Reading) (*emptypb.Empty, error) {
	m.got <- in.GetCount()
	return &emptypb.Empty{}, nil
}

// TestConfigurationOnly has an outbox, a dedup window and dead letters from the configuration alone:
// an event that is published twice with its id is handled once, and the service starts again.
func TestConfigurationOnly(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := t.TempDir()
	c := &bootstrap{&kratosmqttv1.Settings{
		Connection:  &kratosmqttv1.Connection{Addresses: []string{mqtttest.InProcess(t).URL()}, ClientId: "wired"},
		Outbox:      &kratosmqttv1.Outbox{Driver: "file", Path: filepath.Join(dir, "outbox.db")},
		Dedup:       &kratosmqttv1.Dedup{Driver: "memory"},
		DeadLetters: &kratosmqttv1.DeadLetters{Path: filepath.Join(dir, "letters.db")},
	}}
	for round := range int64(2) {
		handler := &meters{got: make(chan int64, 3)}
		a, cleanup, err := wireApp(c, handler, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- a.Run() }()
		if err := a.server.WaitReady(ctx); err != nil {
			t.Fatal(err)
		}
		for _, in := range []*v1.Reading{{ReadingId: "1", Count: 1}, {ReadingId: "1", Count: 1}, {ReadingId: "2", Count: 2}} {
			in.MeterId, in.ReadingId = "m1", in.ReadingId+string('a'+rune(round))
			if err := a.events.RecordReading(ctx, in); err != nil {
				t.Fatal(err)
			}
		}
		for want := range int64(2) {
			select {
			case got := <-handler.got:
				if got != want+1 {
					t.Errorf("handled %d, want %d", got, want+1)
				}
			case <-ctx.Done():
				t.Fatalf("%d was not handled", want+1)
			}
		}
		if err := a.Stop(); err != nil {
			t.Error(err)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
		cleanup()
	}
}
