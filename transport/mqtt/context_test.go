package mqtt_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/eventimpl"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

type fromStart struct{}

// wantStart checks that ctx descends from Start's context.
func wantStart(ctx context.Context, t testing.TB, where string) {
	t.Helper()
	app, ok := kratos.FromContext(ctx)
	if !ok || app.Name() != "svc" {
		t.Errorf("%s: no Kratos application in the context", where)
	}
	if v := ctx.Value(fromStart{}); v != "value" {
		t.Errorf("%s: the value of kratos.Context is %v", where, v)
	}
}

// appContext returns the context that a Kratos application passes to Start.
func appContext(ctx context.Context) context.Context {
	return kratos.NewContext(context.WithValue(ctx, fromStart{}, "value"), kratos.New(kratos.Name("svc")))
}

// reports.md B3: contexts of handlers descend from Start's, as with Kratos' own
// servers. This applies to each attempt, also after parking, and to middleware,
// batches, repliers and error handlers.
func TestHandlerContextsDescendFromStart(t *testing.T) {
	t.Parallel()
	inMiddleware := func(next middleware.Handler) middleware.Handler {
		return func(ctx context.Context, req any) (any, error) {
			wantStart(ctx, t, "middleware")
			return next(ctx, req)
		}
	}
	letter := make(chan struct{}, 1)
	srv, _ := server(t, mqtttest.Mosquitto(t).URL(),
		mqttserver.Middleware(inMiddleware), mqttserver.WithClientId("svc"), mqttserver.WithBrokerOptions(mqttbroker.WithDeadLetters(deadletter.NewMemory(0)),
			mqttbroker.WithProtocol("5"), broker.WithErrorHandler(func(ctx context.Context, _ broker.Event) error {
				wantStart(ctx, t, "error handler")
				letter <- struct{}{}
				return nil
			})))

	attempts := make(chan int, 10)
	register(t, srv, "retried", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		wantStart(ctx, t, "handler")
		tr, _ := mqttserver.FromContext(ctx)
		if attempts <- tr.Attempt(); tr.Attempt() < 2 {
			return errors.New("again")
		}
		return nil
	})
	parked := make(chan int, 10)
	n := 0 // parked messages of a key are handled one at a time
	register(t, srv, "parked", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		wantStart(ctx, t, "handler of a parked message")
		if n++; n < 3 {
			return errors.New("again")
		}
		parked <- n
		return nil
	}, mqttbroker.WithSubscribeExhausted(event.ExhaustedPark), broker.WithSubscribeRetry(0, time.Millisecond), mqttbroker.WithSubscribeParkMaxAttempts(0))
	register(t, srv, "bad", func(_ context.Context, _ string, _ broker.Headers, _ *reading) error {
		return event.Permanent(errors.New("never"))
	})
	err := mqttserver.RegisterReplier(srv, t.Context(), "asked", func(ctx context.Context, in *reading) (*reading, error) {
		wantStart(ctx, t, "replier")
		return in, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	batches, d := make(chan int, 10), textService()
	srv.RegisterService(d, []event.Handler{eventimpl.NewHandler(&d.Methods[0],
		func(context.Context, *wrapperspb.StringValue) (*emptypb.Empty, error) { return nil, nil }, bindText)},
		eventimpl.NewBatch(&d.Methods[0], func(ctx context.Context, in []*wrapperspb.StringValue) error {
			wantStart(ctx, t, "batch")
			batches <- len(in)
			return nil
		}, event.BatchSize(10), event.BatchWait(time.Millisecond)))

	if err := srv.Start(appContext(t.Context())); err != nil {
		t.Fatal(err)
	}
	publish(t, srv, "retried")
	if got := []int{receive(t, attempts), receive(t, attempts)}; !slices.Equal(got, []int{1, 2}) {
		t.Errorf("attempts %v", got)
	}
	publish(t, srv, "parked")
	receive(t, parked)
	publish(t, srv, "bad")
	receive(t, letter)
	if err := srv.Publish(within(t, patience), "texts/a", broker.NewMessage(wrapperspb.String("a")), broker.WithPublishBodyCodec("proto")); err != nil {
		t.Fatal(err)
	}
	receive(t, batches)
	if _, err := mqttbroker.Request[reading](within(t, patience), srv, "asked", reading{1}); err != nil {
		t.Error(err)
	}
}

// Handlers find the application in their context. A value of the subscription's own
// context takes precedence over one of Start's.
func TestHandlersFindTheirApplication(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL())
	type seen struct {
		name  string
		value any
	}
	got := make(chan seen, 2)
	handler := func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		app, _ := kratos.FromContext(ctx)
		got <- seen{app.Name(), ctx.Value(fromStart{})}
		return nil
	}
	register(t, srv, "a", handler)
	own := context.WithValue(t.Context(), fromStart{}, "own")
	if err := mqttserver.RegisterSubscriber(srv, own, "b", handler); err != nil {
		t.Fatal(err)
	}
	app := kratos.New(kratos.Name("svc"), kratos.Server(srv), kratos.Logger(log.NewStdLogger(new(logs))),
		kratos.Context(context.WithValue(t.Context(), fromStart{}, "value")))
	ended := make(chan error, 1)
	go func() { ended <- app.Run() }()
	if err := srv.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	publish(t, srv, "a")
	if s := receive(t, got); s != (seen{"svc", "value"}) {
		t.Errorf("got %v", s)
	}
	publish(t, srv, "b")
	if s := receive(t, got); s != (seen{"svc", "own"}) {
		t.Errorf("a subscription with a context of its own: got %v", s)
	}
	if err := app.Stop(); err != nil {
		t.Error(err)
	}
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
}

// The end of Start's context, by its deadline or because Kratos cancels it, does not
// end the handlers' contexts: Stop waits for running handlers.
func TestEndOfStartsContextIsNotTheHandlers(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL())
	begun, release, ended := make(chan context.Context, 1), make(chan struct{}), make(chan error, 1)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		begun <- ctx
		<-release
		ended <- ctx.Err()
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	app := kratos.New(kratos.Name("svc"), kratos.Server(srv), kratos.Logger(log.NewStdLogger(new(logs))),
		kratos.Context(ctx), kratos.StopTimeout(patience))
	stopped := make(chan error, 1)
	go func() { stopped <- app.Run() }()
	if err := srv.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	publish(t, srv, "a")
	inside := receive(t, begun)
	cancel()
	mqtttest.Eventually(t, patience, func() bool { return !srv.Health().Connected || srv.Health().LastError != nil }) // it stops
	if err := inside.Err(); err != nil {
		t.Errorf("the handler's context ended with Kratos': %v", err)
	}
	close(release)
	if err := receive(t, ended); err != nil {
		t.Errorf("the handler's context ended before the handler: %v", err)
	}
	if err := receive(t, stopped); err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if deadline, ok := inside.Deadline(); !ok || time.Until(deadline) > time.Minute {
		t.Errorf("deadline %v, %t: want that of the attempt", deadline, ok)
	}
}
