package mqtt_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/emptypb"

	apiv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event/stores"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/kratosv3/transport/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// patience bounds waits for something that must happen soon.
const patience = time.Minute

// meters is a service whose methods are the functions.
type meters struct {
	record func(ctx context.Context, in *v1.Reading) error
	total  func(ctx context.Context, in *v1.GetTotalRequest) (*v1.Total, error)
}

func (m *meters) RecordReading(ctx context.Context, in *v1.Reading) (*emptypb.Empty, error) {
	return nil, m.record(ctx, in)
}

func (m *meters) GetTotal(ctx context.Context, in *v1.GetTotalRequest) (*v1.Total, error) {
	return m.total(ctx, in)
}

// logs records log lines.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *logs) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug}))
}

// configured is the configuration of a service with this client id.
func configured(url, id string) *apiv1.Settings {
	return &apiv1.Settings{Connection: &apiv1.Connection{Addresses: []string{url}, ClientId: id}}
}

// served starts a server for the service, and stops it at the end of the test.
func served(t *testing.T, c *apiv1.Settings, s *stores.Stores, m *meters, opts ...mqttserver.ServerOption) *mqttserver.Server {
	t.Helper()
	out := new(logs)
	srv := mqttserver.Open(c, s, out.logger(), opts...)
	v1.RegisterMeterEventsMQTTServer(srv, m)
	t.Cleanup(func() {
		if err := srv.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", out)
		}
	})
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := srv.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	return srv
}

// client returns a generated client at the data layer of a service of its own.
func client(t *testing.T, c *apiv1.Settings, s *stores.Stores) v1.MeterEventsMQTTClient {
	t.Helper()
	b, cleanup, err := mqttbroker.Open(c, s, new(logs).logger())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cleanup)
	return v1.NewMeterEventsMQTTClient(mqttbroker.NewClientConn(b))
}

// within returns a context that ends with the test, or soon.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// receive returns the next value of a channel.
func receive[T any](t *testing.T, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
	return v
}

// eachBroker runs a test on the in-process broker and on Mosquitto.
func eachBroker(t *testing.T, test func(t *testing.T, url string)) {
	t.Helper()
	t.Run("in-process", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.InProcess(t).URL())
	})
	t.Run("mosquitto", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.Mosquitto(t).URL())
	})
}
