package conformance

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// patience bounds every wait.
const patience = time.Minute

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// cell is one cell of the matrix: a broker and a version.
type cell struct {
	broker  mqtttest.Broker
	version string // "3.1.1", "5" or "auto"
}

// five reports whether the connection uses MQTT 5.
func (c cell) five() bool {
	return c.version == "5" || (c.version == "auto" && c.broker.Features().MQTT5)
}

// granted returns the QoS that the broker grants for a subscription at qos.
func (c cell) granted(qos byte) byte {
	if qos == 2 && !c.broker.Features().QoS2 {
		return 1
	}
	return qos
}

// eachCell runs a test for every cell: brokers in parallel, the versions of one broker in turn.
func eachCell(t *testing.T, test func(t *testing.T, c cell)) {
	t.Helper()
	start := map[string]func(testing.TB) mqtttest.Broker{
		"Mosquitto": func(t testing.TB) mqtttest.Broker { return mqtttest.Mosquitto(t) },
		"InProcess": func(t testing.TB) mqtttest.Broker { return mqtttest.InProcess(t) },
		"RabbitMQ":  func(t testing.TB) mqtttest.Broker { return rabbit.Broker(t) },
	}
	for name, start := range start {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := start(t)
			for _, version := range versions(b) {
				t.Run(version, func(t *testing.T) { test(t, cell{b, version}) })
			}
		})
	}
}

// versions returns the versions to test with a broker.
func versions(b mqtttest.Broker) []string {
	if !b.Features().MQTT5 {
		return []string{"3.1.1", "auto"} // see TestVersionThatTheBrokerDoesNotSpeak
	}
	return []string{"3.1.1", "5", "auto"}
}

// name returns a name that is unique to this run of the test, like its directory.
// Brokers are shared, and RabbitMQ keeps sessions for later runs. RabbitMQ also treats
// a dot in a topic as a slash.
func name(t testing.TB) string {
	return strings.ReplaceAll(filepath.Base(filepath.Dir(t.TempDir())), ".", "")
}

func quiet() log.Logger { return log.NewStdLogger(io.Discard) }

// publisher returns a connected publisher that is closed at the end of the test.
func publisher(t testing.TB, url, version string, opts ...broker.Option) *mqttbroker.Publisher {
	t.Helper()
	p, err := mqttbroker.NewPublisher(append([]broker.Option{
		broker.WithAddress(url), mqttbroker.WithProtocol(version), mqttbroker.WithClientId(name(t)),
		mqttbroker.WithKratosLogger(quiet()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(within(t)); err != nil {
			t.Error(err)
		}
	})
	if err := p.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	return p
}

// got is a message as its handler received it.
type got struct {
	topic    string
	body     []byte
	qos      byte
	retained bool
	header   string // the user property "k"
}

// seen collects the messages of handlers.
type seen struct {
	mu   sync.Mutex
	list []got
}

func (s *seen) handle(ctx context.Context, e broker.Event) error {
	tr, ok := mqttserver.FromContext(ctx)
	if !ok {
		return fmt.Errorf("no transport in the context")
	}
	body, ok := e.Message().Body.([]byte)
	if !ok {
		return fmt.Errorf("body of type %T", e.Message().Body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, got{tr.Topic(), body, tr.QoS(), tr.Retained(), tr.RequestHeader().Get("k")})
	return nil
}

func (s *seen) all() []got {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]got(nil), s.list...)
}

func (s *seen) wait(t testing.TB, n int) []got {
	t.Helper()
	mqtttest.Eventually(t, patience, func() error {
		if have := len(s.all()); have < n {
			return fmt.Errorf("%d messages of %d", have, n)
		}
		return nil
	})
	return s.all()
}

// server returns a server with handlers that is not started.
func server(t testing.TB, url, version string, opts ...mqttserver.ServerOption) *mqttserver.Server {
	t.Helper()
	return mqttserver.NewServer(append([]mqttserver.ServerOption{
		mqttserver.WithAddress([]string{url}), mqttserver.WithClientId(name(t)), mqttserver.WithBrokerOptions(mqttbroker.WithKratosLogger(quiet())),
		mqttserver.WithCodec(""), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(version)),
	}, opts...)...)
}

func register(t testing.TB, s *mqttserver.Server, filter string, h broker.Handler, opts ...broker.SubscribeOption) {
	t.Helper()
	if err := s.RegisterSubscriber(within(t), filter, h, nil, opts...); err != nil {
		t.Fatal(err)
	}
}

// run starts a server that is stopped at the end of the test.
func run(t testing.TB, s *mqttserver.Server) {
	t.Helper()
	t.Cleanup(func() { stop(t, s) })
	if err := s.Start(within(t)); err != nil {
		t.Fatal(err)
	}
	if err := s.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
}

func stop(t testing.TB, s *mqttserver.Server) {
	t.Helper()
	if err := s.Stop(within(t)); err != nil {
		t.Error(err)
	}
}

// publishAll publishes with many messages in flight, and fails the test unless every
// message is acknowledged.
func publishAll(t testing.TB, p *mqttbroker.Publisher, topic string, bodies [][]byte, opts ...event.CallOption) {
	t.Helper()
	pending := make([]*mqttbroker.Pending, len(bodies))
	for i, b := range bodies {
		var err error
		if pending[i], err = p.BeginPublish(within(t), topic, b, opts...); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	for i, w := range pending {
		if err := w.Wait(within(t)); err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
	}
}

// numbered returns n small bodies.
func numbered(n int) [][]byte {
	list := make([][]byte, n)
	for i := range list {
		list[i] = fmt.Appendf(nil, "%010d", i)
	}
	return list
}
