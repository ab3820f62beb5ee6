package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// patience bounds waits for something that must happen soon, also on a busy machine.
const patience = time.Minute

// soon is the bound of a call that ends by itself in milliseconds. It is just below the default
// timeouts of the client, so that a busy machine has time, and a call that waits for one of
// them is found.
const soon = 9 * time.Second

// advances waits until count returns want, however slow the machine is. It fails the
// test if the count has not changed for patience, over many checks during which this
// process could run, and prints the state and the stacks of all goroutines.
func advances(t *testing.T, want int, count func() int, state func() any) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	last, changed, looks := -1, time.Now(), 0
	for {
		looks++
		switch n := count(); {
		case n == want:
			return
		case n != last:
			last, changed, looks = n, time.Now(), 0
		case time.Since(changed) > patience && looks > 100:
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d for %v, want %d: %+v\n%s", n, time.Since(changed), want, state(), stacks[:runtime.Stack(stacks, true)])
		}
		<-tick.C
	}
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

// count returns how often a text was logged.
func (l *logs) count(text string) int { return strings.Count(l.String(), text) }

// matches returns how many lines match an expression.
func (l *logs) matches(expression string) int {
	return len(regexp.MustCompile(expression).FindAllString(l.String(), -1))
}

// open returns a broker that is not connected yet. It is disconnected at the end of the
// test.
func open(t testing.TB, url string, opts ...broker.Option) *mqttbroker.Broker {
	t.Helper()
	b, _ := logged(t, url, opts...)
	return b
}

// logged is like open and also returns the log.
func logged(t testing.TB, url string, opts ...broker.Option) (*mqttbroker.Broker, *logs) {
	t.Helper()
	out := new(logs)
	b := mqttbroker.NewBroker(append([]broker.Option{
		broker.WithAddress(url), broker.WithCodec("json"),
		mqttbroker.WithProtocol("3.1.1"), // every broker of these tests supports it without defects
		mqttbroker.WithConnectRetryInterval(10 * time.Millisecond),
		mqttbroker.WithMaxReconnectInterval(100 * time.Millisecond),
		mqttbroker.WithKratosLogger(log.NewStdLogger(out)),
	}, opts...)...)
	t.Cleanup(func() {
		if err := b.Disconnect(); err != nil {
			t.Errorf("disconnect: %v", err)
		}
		if t.Failed() {
			t.Logf("log:\n%s", out)
		}
	})
	return b, out
}

// connected is like open and also calls Connect.
func connected(t testing.TB, url string, opts ...broker.Option) *mqttbroker.Broker {
	t.Helper()
	b := open(t, url, opts...)
	if err := b.Connect(); err != nil {
		t.Fatalf("connect: %v", err)
	}
	return b
}

// within returns a context that ends with the test, or after d.
func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// seen is a message that a handler received.
type seen struct {
	topic string
	body  string
}

// subscribe returns a channel that receives the messages of a filter.
func subscribe(t testing.TB, b *mqttbroker.Broker, filter string, opts ...broker.SubscribeOption) <-chan seen {
	t.Helper()
	ch := make(chan seen, 1000)
	_, err := b.Subscribe(filter, func(_ context.Context, e broker.Event) error {
		ch <- seen{e.Topic(), string(e.Message().Body.([]byte))}
		return nil
	}, nil, opts...)
	if err != nil {
		t.Fatalf("subscribe to %q: %v", filter, err)
	}
	return ch
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
func publish(t testing.TB, b *mqttbroker.Broker, topic string, body any, opts ...broker.PublishOption) {
	t.Helper()
	if err := b.Publish(within(t, patience), topic, broker.NewMessage(body), opts...); err != nil {
		t.Fatalf("publish to %q: %v", topic, err)
	}
}

// wantReason checks that err is an *event.Error with this reason, and that Kratos finds
// this code in it.
func wantReason(t testing.TB, err error, reason event.Reason, code int) *event.Error {
	t.Helper()
	var e *event.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %T %v, want an *event.Error", err, err)
	}
	if k := kerrors.FromError(err); e.Reason != reason || int(k.Code) != code || k.Reason != string(reason) {
		t.Fatalf("got reason %s, Kratos code %d %s, want %s and %d: %v", e.Reason, k.Code, k.Reason, reason, code, err)
	}
	if len(err.Error()) > 1000 {
		t.Fatalf("the error is %d bytes long", len(err.Error()))
	}
	return e
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

func publisherTimeout(d time.Duration) *v1.Publisher {
	return &v1.Publisher{Timeout: durationpb.New(d)}
}

// stringValue is the protobuf message of these tests.
type stringValue = wrapperspb.StringValue

func newString(s string) *stringValue { return wrapperspb.String(s) }
