package mqtt_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v3/errors"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	apiv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const patience = time.Minute

// text is a log.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *text) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *text) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func (l *text) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{AddSource: true, Level: slog.LevelDebug}))
}

// started returns a broker, and its log, that is stopped at the end of the test.
func started(t *testing.T, opts ...mqttbroker.Option) (*mqttbroker.Broker, *text) {
	t.Helper()
	out := new(text)
	b := mqttbroker.NewBroker(append([]mqttbroker.Option{mqttbroker.WithKratosLogger(out.logger())}, opts...)...)
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(context.Background()); err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return b, out
}

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// A published value reaches a handler with its headers, in a span of its own trace or linked to it; the
// log names the line that logged.
func TestPublishAndSubscribe(t *testing.T) {
	t.Parallel()
	type point struct{ X int }
	spans := tracetest.NewSpanRecorder()
	b, out := started(t, mqttbroker.WithAddress(mqtttest.InProcess(t).URL()),
		mqttbroker.WithTracerProvider(trace.NewTracerProvider(trace.WithSpanProcessor(spans))))
	got := make(chan string, 1)
	sub, err := b.Subscribe("points/+", func(_ context.Context, m mqttbroker.Received) error {
		if p := m.Body().(*point); p.X == 7 && m.Headers()["color"] == "red" && m.ID() == "p7" && m.QoS() == 1 && !m.Retained() {
			got <- m.Topic()
		}
		return nil
	}, func() any { return new(point) })
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(within(t), "points/1", point{7}, event.Header("color", "red"), event.ID("p7")); err != nil {
		t.Fatal(err)
	}
	select {
	case topic := <-got:
		if topic != "points/1" {
			t.Error(topic)
		}
	case <-time.After(patience):
		t.Fatal("nothing arrived")
	}
	mqtttest.Eventually(t, patience, func() bool { return len(spans.Ended()) == 2 })
	if err := sub.Unsubscribe(); err != nil {
		t.Fatal(err)
	}
	if sub.Topic() != "points/+" || b.Subscribes("points/1") {
		t.Error("still subscribed")
	}
	if s := out.String(); !strings.Contains(s, "mqtt: connected") || strings.Contains(s, "logger.go") {
		t.Errorf("log:\n%s", s)
	}
}

// All problems of the options come together, from the first method, as a Kratos error.
func TestOptionsThatCannotWork(t *testing.T) {
	t.Parallel()
	b := mqttbroker.NewBroker(mqttbroker.WithAddress("gopher://127.0.0.1"), mqttbroker.WithCodec("morse"), mqttbroker.WithInFlight(-1))
	err := b.Start(t.Context())
	var k *kerrors.Error
	if !errors.As(err, &k) || k.Code != 400 {
		t.Fatalf("got %v", err)
	}
	for _, part := range []string{"gopher", "morse", "in_flight"} {
		if !strings.Contains(strings.ToLower(err.Error()), part) {
			t.Errorf("nothing about %s: %v", part, err)
		}
	}
	if err := b.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

// Check names the key of each setting that cannot work.
func TestCheck(t *testing.T) {
	t.Parallel()
	err := mqttbroker.Check(&apiv1.Settings{Connection: &apiv1.Connection{Addresses: []string{"gopher://127.0.0.1"}}}, false)
	var s *event.SettingError
	if !errors.As(err, &s) || s.Key != "addresses" {
		t.Errorf("got %v", err)
	}
	good := &apiv1.Settings{Connection: &apiv1.Connection{Addresses: []string{"mqtt://127.0.0.1:1"}}}
	if err := mqttbroker.Check(good, false); err != nil {
		t.Error(err)
	}
}

// A Publisher keeps many messages in flight.
func TestPublisher(t *testing.T) {
	t.Parallel()
	p, err := mqttbroker.NewPublisher(mqttbroker.WithAddress(mqtttest.InProcess(t).URL()), mqttbroker.WithKratosLogger(new(text).logger()))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	var all []*mqttbroker.Pending
	for range 100 {
		w, err := p.BeginPublish(within(t), "a", []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, w)
	}
	for _, w := range all {
		if err := w.Wait(within(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// Text of strangers cannot end a line or control a terminal, wherever it is in a record.
func TestSafeLogger(t *testing.T) {
	t.Parallel()
	const evil = "a\nb\x1b[2J\u202e"
	records := new(collector)
	l := mqttbroker.SafeLogger(slog.New(records)).With("with\n", evil)
	l.Info(evil, "text", evil, "error", errors.New(evil), slog.Group("group", "in", evil), "number", 7)
	if len(records.texts) != 10 {
		t.Errorf("got %q", records.texts)
	}
	for _, s := range records.texts {
		if strings.ContainsAny(s, "\n\x1b\u202e") {
			t.Errorf("got %q", s)
		}
	}
}

// collector is a handler that keeps all texts of records as they are.
type collector struct{ texts []string }

func (c *collector) Enabled(context.Context, slog.Level) bool { return true }

func (c *collector) Handle(_ context.Context, r slog.Record) error {
	c.texts = append(c.texts, r.Message)
	r.Attrs(func(a slog.Attr) bool {
		c.WithAttrs([]slog.Attr{a})
		return true
	})
	return nil
}

func (c *collector) WithAttrs(attrs []slog.Attr) slog.Handler {
	for _, a := range attrs {
		if a.Value.Kind() == slog.KindGroup {
			c.WithAttrs(a.Value.Group())
			continue
		}
		if c.texts = append(c.texts, a.Key); a.Value.Kind() == slog.KindString {
			c.texts = append(c.texts, a.Value.String())
		}
	}
	return c
}

func (c *collector) WithGroup(string) slog.Handler { return c }
