// Package patterns is the code that docs/guide/patterns shows. Each example runs with a broker
// of its own.
package patterns

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"go.uber.org/goleak"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Task is what the examples send.
type Task struct {
	ID string `json:"id"`
}

// listen starts a broker.
func listen() *testbroker.Broker {
	b, err := testbroker.Listen()
	must(err)
	return b
}

// options are the options of a client that logs nothing.
func options(url, clientID string, more []broker.Option) []broker.Option {
	return append([]broker.Option{
		broker.WithAddress(url), broker.WithCodec("json"), mqttbroker.WithClientId(clientID),
		mqttbroker.WithKratosLogger(log.NewStdLogger(io.Discard)),
	}, more...)
}

// newServer returns the server layer of a service.
func newServer(url, clientID string, more ...broker.Option) *mqttserver.Server {
	return mqttserver.NewServer(mqttserver.WithBrokerOptions(options(url, clientID, more)...))
}

// start starts a server whose filters are granted when it returns.
func start(srv *mqttserver.Server) (stop func()) {
	must(srv.Start(context.Background()))
	return func() { must(srv.Stop(context.Background())) }
}

// connect returns the data layer of a service.
func connect(url, clientID string, more ...broker.Option) (b *mqttbroker.Broker, disconnect func()) {
	b = mqttbroker.NewBroker(options(url, clientID, more)...)
	must(b.Connect())
	return b, func() { must(b.Disconnect()) }
}

// publish sends tasks one after another.
func publish(ctx context.Context, b broker.Broker, topic string, ids ...string) {
	for _, id := range ids {
		must(b.Publish(ctx, topic, broker.NewMessage(&Task{ID: id})))
	}
}

// take returns a handler that passes the ids of tasks on, each behind a name.
func take(name string, to chan<- string) func(context.Context, *Task) error {
	return func(_ context.Context, t *Task) error {
		to <- name + t.ID
		return nil
	}
}

// eventually waits until a condition holds.
func eventually(holds func() bool) {
	over := time.After(10 * time.Second)
	for tick := time.NewTicker(5 * time.Millisecond); !holds(); {
		select {
		case <-tick.C:
		case <-over:
			panic("the condition does not hold after 10 s")
		}
	}
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
