// Package roundtrip sends generated events through brokers.
package roundtrip

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/types/known/emptypb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/tools/internal/golden/cases/plant"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = time.Minute

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

// place is a broker and protocol version that a test runs with.
type place struct {
	broker   mqtttest.Broker
	protocol string
	id       string
	extra    []broker.Option
}

// places runs a test on both brokers, in both versions.
func places(t *testing.T, test func(t *testing.T, p *place)) {
	t.Helper()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run("in-process "+protocol, func(t *testing.T) {
			t.Parallel()
			test(t, &place{broker: mqtttest.InProcess(t), protocol: protocol, id: "plant-1"})
		})
		t.Run("mosquitto "+protocol, func(t *testing.T) {
			t.Parallel()
			test(t, &place{broker: mqtttest.Mosquitto(t), protocol: protocol, id: "plant-1"})
		})
	}
}

func (p *place) options(opts ...broker.Option) []broker.Option {
	all := []broker.Option{
		broker.WithAddress(p.broker.URL()), mqttbroker.WithProtocol(p.protocol),
		mqttbroker.WithConnectRetryInterval(10 * time.Millisecond),
		mqttbroker.WithMaxReconnectInterval(100 * time.Millisecond),
	}
	return append(append(all, p.extra...), opts...)
}

func (p *place) server(t testing.TB, opts ...mqttserver.ServerOption) (*mqttserver.Server, *logs) {
	t.Helper()
	out := new(logs)
	srv := mqttserver.NewServer(append([]mqttserver.ServerOption{
		mqttserver.WithBrokerOptions(p.options()...),
		mqttserver.WithBrokerOptions(mqttbroker.WithClientId(p.id),
			mqttbroker.WithKratosLogger(log.NewStdLogger(out)), mqttbroker.WithDeadLetters(deadletter.NewMemory(1000))),
	}, opts...)...)
	t.Cleanup(func() {
		if err := srv.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", out)
		}
	})
	return srv, out
}

func start(t testing.TB, srv *mqttserver.Server) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	if err := srv.WaitReady(within(t)); err != nil {
		t.Fatalf("not ready: %v", err)
	}
}

// client returns a generated client, and a publisher of bytes.
func (p *place) client(t testing.TB, opts ...mqttbroker.ClientOption) (plant.PlantEventsMQTTClient, *mqttbroker.Publisher) {
	t.Helper()
	b := mqttbroker.NewBroker(p.options()...)
	must(t, b.Connect())
	t.Cleanup(func() { _ = b.Disconnect() })
	raw, err := mqttbroker.NewPublisher(p.options()...)
	must(t, err)
	must(t, raw.Start(t.Context()))
	t.Cleanup(func() { _ = raw.Stop(context.Background()) })
	return plant.NewPlantEventsMQTTClient(mqttbroker.NewClientConn(b, opts...)), raw
}

func within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
	return v
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	mqtttest.Eventually(t, patience, ok, what)
}

// service is a handler of the plant's events.
type service struct {
	measured, shown, stored func(context.Context, *plant.Reading) error
	ask                     func(context.Context, *plant.Reading) (*plant.Answer, error)
}

var _ plant.PlantEventsMQTTServer = (*service)(nil)

func call(ctx context.Context, f func(context.Context, *plant.Reading) error, in *plant.Reading) (*emptypb.Empty, error) {
	if f == nil {
		return nil, fmt.Errorf("nobody handles this")
	}
	return new(emptypb.Empty), f(ctx, in)
}

func (s *service) Measured(ctx context.Context, in *plant.Reading) (*emptypb.Empty, error) {
	return call(ctx, s.measured, in)
}

func (s *service) Shown(ctx context.Context, in *plant.Reading) (*emptypb.Empty, error) {
	return call(ctx, s.shown, in)
}

func (s *service) Stored(ctx context.Context, in *plant.Reading) (*emptypb.Empty, error) {
	return call(ctx, s.stored, in)
}

func (s *service) Ask(ctx context.Context, in *plant.Reading) (*plant.Answer, error) {
	return s.ask(ctx, in)
}
