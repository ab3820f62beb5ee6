package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// patience bounds waits for something that must happen soon.
const patience = time.Minute

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

func (l *logs) count(text string) int { return strings.Count(l.String(), text) }

// server is a server with its log. It is stopped at the end of the test.
func server(t testing.TB, url string, opts ...mqttserver.ServerOption) (*mqttserver.Server, *logs) {
	t.Helper()
	out := new(logs)
	srv := mqttserver.NewServer(append([]mqttserver.ServerOption{
		mqttserver.WithAddress([]string{url}),
		mqttserver.WithCodec("json"),
		mqttserver.WithBrokerOptions(mqttbroker.WithKratosLogger(log.NewStdLogger(out)),

			mqttbroker.WithProtocol("3.1.1"), // every broker of these tests supports it without defects
			mqttbroker.WithConnectRetryInterval(10*time.Millisecond),
			mqttbroker.WithMaxReconnectInterval(100*time.Millisecond)),
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

// start starts a server and waits until every filter is granted.
func start(t testing.TB, srv *mqttserver.Server) {
	t.Helper()
	if err := srv.Start(t.Context()); err != nil {
		t.Fatalf("start: %v", err)
	}
	if err := srv.WaitReady(within(t, patience)); err != nil {
		t.Fatalf("not ready: %v", err)
	}
}

// within returns a context that ends with the test, or after d.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// reading is the type of message that the handlers of these tests take.
type reading struct {
	Celsius float64 `json:"celsius"`
}

type readingHandler = func(context.Context, string, broker.Headers, *reading) error

// register fails the test if the registration fails.
func register(t testing.TB, srv *mqttserver.Server, filter string, h readingHandler, opts ...broker.SubscribeOption) {
	t.Helper()
	if err := mqttserver.RegisterSubscriber(srv, t.Context(), filter, h, opts...); err != nil {
		t.Fatalf("register %q: %v", filter, err)
	}
}

// into returns a handler that sends the topic of each message to the test.
func into(ch chan<- string) readingHandler {
	return func(_ context.Context, topic string, _ broker.Headers, _ *reading) error {
		ch <- topic
		return nil
	}
}

// receive returns the next value of a channel.
func receive[T any](t testing.TB, ch <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-ch:
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
	return v
}

// publish fails the test unless the publish is acknowledged.
func publish(t testing.TB, srv *mqttserver.Server, topic string, opts ...broker.PublishOption) {
	t.Helper()
	if err := srv.Publish(within(t, patience), topic, broker.NewMessage(reading{21.5}), opts...); err != nil {
		t.Fatalf("publish to %q: %v", topic, err)
	}
}

// wantReason checks that err is an *event.Error with this reason, and that Kratos finds
// this code in it.
func wantReason(t testing.TB, err error, reason event.Reason, code int) {
	t.Helper()
	var e *event.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v, want an *event.Error", err, err)
	}
	if k := kerrors.FromError(err); e.Reason != reason || int(k.Code) != code {
		t.Fatalf("got reason %s, Kratos code %d, want %s and %d: %v", e.Reason, k.Code, reason, code, err)
	}
}

// eachBroker runs a test on the in-process broker and on Mosquitto.
func eachBroker(t *testing.T, test func(t *testing.T, b mqtttest.Broker)) {
	t.Helper()
	t.Run("in-process", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.InProcess(t))
	})
	t.Run("mosquitto", func(t *testing.T) {
		t.Parallel()
		test(t, mqtttest.Mosquitto(t))
	})
}
