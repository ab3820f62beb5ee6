package mqtt_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// broken are middlewares that cannot be constructed.
func broken() map[string]middleware.Middleware {
	return map[string]middleware.Middleware{
		"panic":       func(middleware.Handler) middleware.Handler { panic("no key for the authorisation") },
		"nil handler": func(middleware.Handler) middleware.Handler { return nil },
	}
}

// everyKind registers a handler of each kind and counts its calls. The topics are
// "single", "asked" and "texts/a".
func everyKind(t *testing.T, srv *mqttserver.Server, calls *atomic.Int64) {
	t.Helper()
	register(t, srv, "single", func(context.Context, string, broker.Headers, *reading) error {
		calls.Add(1)
		return nil
	})
	err := mqttserver.RegisterReplier(srv, t.Context(), "asked", func(_ context.Context, in *reading) (*reading, error) {
		calls.Add(1)
		return in, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	d := textService()
	srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(&d.Methods[0],
		func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) {
			calls.Add(1)
			return nil, nil
		}, bindText)},
		eventimpl.NewBatch(&d.Methods[0], func(context.Context, []*wrapperspb.StringValue) error {
			calls.Add(1)
			return nil
		}, event.BatchSize(10), event.BatchWait(time.Millisecond)))
}

// retrying sets the number of attempts, without pauses.
func retrying(attempts uint32) *v1.Subscriber {
	soon := durationpb.New(time.Millisecond)
	return &v1.Subscriber{Retry: &v1.Retry{MaxAttempts: attempts, MinBackoff: soon, MaxBackoff: soon}}
}

// publishEach publishes a message to each handler of everyKind.
func publishEach(t *testing.T, b broker.Broker) {
	t.Helper()
	for _, topic := range []string{"single", "asked"} {
		if err := b.Publish(within(t, patience), topic, broker.NewMessage(reading{1})); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Publish(within(t, patience), "texts/a", broker.NewMessage(wrapperspb.String("a")), broker.WithPublishBodyCodec("proto")); err != nil {
		t.Fatal(err)
	}
}

// engine.md D10: if a middleware cannot be constructed, Start returns an error that
// names it and starts nothing, and no handler runs without the middleware.
func TestMiddlewareThatCannotBeBuiltIsAnErrorOfStart(t *testing.T) {
	t.Parallel()
	for name, m := range broken() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := mqtttest.InProcess(t).URL()
			srv, _ := server(t, url, mqttserver.Middleware(m))
			var calls atomic.Int64
			everyKind(t, srv, &calls)
			err := srv.Start(t.Context())
			wantReason(t, err, event.ReasonBadRequest, 400)
			for _, operation := range []string{"single", "asked", "/test.Texts/Tell"} {
				if !strings.Contains(err.Error(), operation) {
					t.Errorf("the error does not name %s: %v", operation, err)
				}
			}
			if srv.Health().Connected {
				t.Error("it is connected")
			}
			if again := srv.Start(t.Context()); again == nil {
				t.Error("a second Start has no error")
			}
			if err := mqttserver.RegisterSubscriber(srv, t.Context(), "late", into(make(chan string))); err == nil {
				t.Error("a registration after Start has no error")
			}
		})
	}
}

// engine.md D10, second half: if a middleware that is added while the server runs
// cannot be constructed, every attempt fails with that error, on every path, whether or
// not the handler has had messages before.
func TestMiddlewareIsNeverBypassed(t *testing.T) {
	t.Parallel()
	for name, m := range broken() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			neverBypassed(t, m, false)
		})
		t.Run(name+" after messages", func(t *testing.T) {
			t.Parallel()
			neverBypassed(t, m, true)
		})
	}
}

func neverBypassed(t *testing.T, m middleware.Middleware, used bool) {
	t.Helper()
	letters := deadletter.NewMemory(0)
	srv, out := server(t, mqtttest.Mosquitto(t).URL(),
		mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(letters), mqttbroker.WithProtocol("5"),
			mqttbroker.WithSubscriberConfig(retrying(3))))
	var calls atomic.Int64
	everyKind(t, srv, &calls)
	start(t, srv)
	if used {
		publishEach(t, srv.Broker())
		mqtttest.Eventually(t, patience, func() bool { return calls.Load() == 3 }, "%d of 3 handlers were called", &calls)
		calls.Store(0)
	}
	srv.Use("*", m)
	publishEach(t, srv.Broker())
	mqtttest.Eventually(t, patience, func() error {
		st, err := letters.Stats(t.Context())
		if n := int64(st.Dead) + calls.Load(); err == nil && n != 3 {
			err = fmt.Errorf("%d of 3 messages are done", n)
		}
		return err
	})
	if n := calls.Load(); n != 0 {
		t.Errorf("%d calls past the middleware", n)
	}
	if out.count("each message fails") != 1 {
		t.Error("nothing is logged")
	}
	list, err := letters.List(t.Context(), deadletter.Query{})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range list {
		if l.Attempts != 3 {
			t.Errorf("%s: %d attempts, want 3", l.Topic, l.Attempts)
		}
	}
}

// Use applies to messages that are handled after the call, as with Kratos' own servers.
func TestUseWhileRunning(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL())
	got := make(chan string, 1)
	register(t, srv, "a", into(got))
	start(t, srv)
	publish(t, srv, "a")
	receive(t, got)
	tr := new(trail)
	srv.Use("a", tr.step("late"))
	publish(t, srv, "a")
	receive(t, got)
	if names := tr.take(); len(names) != 1 {
		t.Errorf("%v ran, want the one that was added", names)
	}
}
