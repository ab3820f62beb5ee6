package mqtt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/go-kratos/kratos/v2/middleware/logging"
	"github.com/go-kratos/kratos/v2/middleware/metadata"
	"github.com/go-kratos/kratos/v2/middleware/recovery"
	"github.com/go-kratos/kratos/v2/middleware/selector"
	"github.com/go-kratos/kratos/v2/middleware/validate"
	"github.com/go-kratos/kratos/v2/transport"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestTransportInContext(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	srv, _ := server(t, b.URL())
	type snapshot struct {
		kind, endpoint, operation, topic string
		qos                              byte
		retained, duplicate              bool
		attempt                          int
		same, headers                    bool
	}
	got := make(chan snapshot, 10)
	register(t, srv, "devices/+/data", func(ctx context.Context, topic string, _ broker.Headers, _ *reading) error {
		tr, ok := transport.FromServerContext(ctx)
		m, mok := mqttserver.FromContext(ctx)
		if !ok || !mok {
			return kerrors.BadRequest("NO_TRANSPORT", "no transport in the context")
		}
		got <- snapshot{
			tr.Kind().String(), tr.Endpoint(), tr.Operation(), m.Topic(), m.QoS(), m.Retained(), m.Duplicate(), m.Attempt(),
			transport.Transporter(m) == tr && m.Topic() == topic,
			len(tr.RequestHeader().Keys()) == 0 && tr.RequestHeader().Get("x") == "" && tr.ReplyHeader() != nil,
		}
		if m.Attempt() == 1 {
			return errors.New("again")
		}
		return nil
	})
	start(t, srv)
	publish(t, srv, "devices/1/data", mqttbroker.WithPublishQos(0))
	for attempt := 1; attempt <= 2; attempt++ {
		want := snapshot{"mqtt", b.URL(), "devices/+/data", "devices/1/data", 0, false, false, attempt, true, true}
		if s := receive(t, got); s != want {
			t.Errorf("got %+v\nwant %+v", s, want)
		}
	}
	publish(t, srv, "devices/2/data", mqttbroker.WithPublishRetained(true))
	if s := receive(t, got); s.retained || s.qos != 1 {
		t.Errorf("to a subscriber from before: %+v", s)
	}
	receive(t, got)
	late, _ := server(t, b.URL())
	register(t, late, "devices/2/data", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		m, _ := mqttserver.FromContext(ctx)
		got <- snapshot{retained: m.Retained()}
		return nil
	})
	start(t, late)
	if s := receive(t, got); !s.retained {
		t.Error("the broker had kept the message, but it is not marked so")
	}
	if _, ok := mqttserver.FromContext(t.Context()); ok {
		t.Error("a transport in any context")
	}
}

// trail records which middleware ran.
type trail struct {
	mu    sync.Mutex
	names []string
}

func (tr *trail) step(name string) middleware.Middleware {
	return func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			tr.mu.Lock()
			tr.names = append(tr.names, name)
			tr.mu.Unlock()
			return next(ctx, req)
		}
	}
}

func (tr *trail) take() []string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	names := tr.names
	tr.names = nil
	return names
}

func TestMiddlewareIsSelectedAsInKratos(t *testing.T) {
	t.Parallel()
	tr := new(trail)
	srv, _ := server(t, mqtttest.InProcess(t).URL(),
		mqttserver.Middleware(tr.step("default 1"), nil), mqttserver.Middleware(tr.step("default 2")))
	srv.Use("devices/*", tr.step("prefix"))
	srv.Use("devices/special/*", tr.step("longer prefix"))
	srv.Use("devices/+/data", tr.step("exact 1"))
	srv.Use("devices/+/data", tr.step("exact 2"))
	got := make(chan string, 1)
	for _, filter := range []string{"devices/+/data", "devices/special/+/x", "devices/+/other", "alerts"} {
		register(t, srv, filter, into(got))
	}
	srv.Use("alerts", tr.step("after the registration"))
	start(t, srv)
	defaults := []string{"default 1", "default 2"}
	for topic, want := range map[string][]string{
		"devices/1/data":      {"exact 1", "exact 2"},
		"devices/special/1/x": {"longer prefix"},
		"devices/1/other":     {"prefix"},
		"alerts":              {"after the registration"},
	} {
		publish(t, srv, topic)
		receive(t, got)
		if names := tr.take(); !slices.Equal(names, slices.Concat(defaults, want)) {
			t.Errorf("%s: %v, want the defaults and %v", topic, names, want)
		}
	}
}

func TestMiddlewareMayReplaceTheRequest(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.Middleware(
		func(next middleware.Handler) middleware.Handler {
			return func(ctx context.Context, req any) (any, error) {
				return next(ctx, &reading{Celsius: req.(*reading).Celsius + 1})
			}
		}))
	got := make(chan float64, 1)
	register(t, srv, "a", func(_ context.Context, _ string, _ broker.Headers, r *reading) error {
		got <- r.Celsius
		return nil
	})
	start(t, srv)
	publish(t, srv, "a")
	if c := receive(t, got); c != 22.5 {
		t.Errorf("got %v", c)
	}
}

// Validate is the method that the validate middleware calls.
func (r *reading) Validate() error {
	if r.Celsius < -273.15 {
		return errors.New("below absolute zero")
	}
	return nil
}

func TestKratosMiddlewareWorksUnchanged(t *testing.T) {
	t.Parallel()
	out := new(logs)
	tr := new(trail)
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithBrokerOptions(mqttbroker.WithServiceName("svc")), mqttserver.Middleware(
		recovery.Recovery(),
		logging.Server(log.NewStdLogger(out)),
		metadata.Server(),
		validate.Validator(), //nolint:staticcheck // what services have
		selector.Server(tr.step("selected")).Path("selected/+").Build(),
		selector.Server(tr.step("prefix")).Prefix("selected/").Build(),
	))
	got := make(chan string, 10)
	panicked := make(chan struct{}, 1)
	register(t, srv, "selected/+", func(_ context.Context, topic string, _ broker.Headers, _ *reading) error {
		if topic == "selected/panic" {
			select {
			case panicked <- struct{}{}:
				panic("handler")
			default:
			}
		}
		got <- topic
		return nil
	})
	letters := make(chan string, 1)
	err := srv.RegisterSubscriber(t.Context(), "dead-letter/svc/+/+", func(_ context.Context, e broker.Event) error {
		letters <- string(e.Message().Body.([]byte))
		return nil
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)

	publish(t, srv, "selected/1")
	receive(t, got)
	if names := tr.take(); !slices.Equal(names, []string{"selected", "prefix"}) {
		t.Errorf("selected %v", names)
	}
	mqtttest.Eventually(t, patience, func() bool { // it logs when the handler has returned
		return out.count("operation=selected/+") > 0 && out.count("component=mqtt") > 0
	}, "the logging middleware wrote %q", out)

	publish(t, srv, "selected/panic") // an error that is retried
	if topic := receive(t, got); topic != "selected/panic" {
		t.Errorf("topic %q", topic)
	}

	err = srv.Publish(within(t, patience), "selected/2", broker.NewMessage(reading{-300}))
	if err != nil {
		t.Fatal(err)
	}
	if letter := receive(t, letters); !strings.Contains(letter, `"attempts":1`) || !strings.Contains(letter, "absolute zero") {
		t.Errorf("dead letter %s", letter)
	}
	if len(got) > 0 {
		t.Error("the handler got what is not valid")
	}
}

func TestMiddlewareErrorIsTheHandlers(t *testing.T) {
	t.Parallel()
	var once sync.Once
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.Middleware(
		func(next middleware.Handler) middleware.Handler {
			return func(ctx context.Context, req any) (any, error) {
				err := errors.New("limited")
				once.Do(func() { err = kerrors.New(429, "RATELIMIT", "at first") })
				if kerrors.Code(err) == 429 {
					return nil, err
				}
				return next(ctx, req)
			}
		}))
	got := make(chan string, 1)
	register(t, srv, "a", into(got))
	start(t, srv)
	publish(t, srv, "a")
	receive(t, got)
}
