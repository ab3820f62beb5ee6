package mqtt_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v3"
	"github.com/go-kratos/kratos/v3/metadata"
	"github.com/go-kratos/kratos/v3/middleware"
	kmetadata "github.com/go-kratos/kratos/v3/middleware/metadata"
	"github.com/go-kratos/kratos/v3/transport"
	"google.golang.org/protobuf/types/known/timestamppb"

	apiv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/kratosv3/broker/mqtt"
	v1 "github.com/kratos-mqtt/kratos-mqtt/kratosv3/internal/protos/meter/v1"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/kratosv3/transport/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// A typed publish reaches the typed handler, with the fields of its topic, in ProtoJSON, and
// with the transport in the context.
func TestTypedPublish(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, url string) {
		got := make(chan *v1.Reading, 1)
		raw := make(chan string, 1)
		srv := served(t, configured(url, "service"), nil, &meters{record: func(ctx context.Context, in *v1.Reading) error {
			tr, _ := mqttserver.FromContext(ctx)
			kratos, _ := transport.FromServerContext(ctx)
			if kratos.Kind() != mqttserver.KindMQTT || tr.Operation() != "/meter.v1.MeterEvents/RecordReading" || tr.Topic() != "meters/m1/reading" ||
				tr.Params()["meter_id"] != "m1" || tr.ID() != "r1" || tr.Attempt() != 1 || tr.QoS() != 1 || tr.Endpoint() != url {
				t.Errorf("transport %s of %s on %s, id %q, params %v, attempt %d, QoS %d, endpoint %s", kratos.Kind(), tr.Operation(), tr.Topic(), tr.ID(), tr.Params(), tr.Attempt(), tr.QoS(), tr.Endpoint())
			}
			got <- in
			return nil
		}})
		_, err := srv.Subscribe("meters/+/reading", func(_ context.Context, m mqttbroker.Received) error {
			raw <- string(m.Body().([]byte))
			return nil
		}, nil)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
		in := &v1.Reading{ReadingId: "r1", MeterId: "m1", Count: 7, MeasuredAt: timestamppb.New(at)}
		if err := client(t, configured(url, "publisher"), nil).RecordReading(within(t), in); err != nil {
			t.Fatal(err)
		}
		if in := receive(t, got); in.GetMeterId() != "m1" || in.GetCount() != 7 || !in.GetMeasuredAt().AsTime().Equal(at) {
			t.Errorf("got %v", in)
		}
		if text := receive(t, raw); !strings.Contains(text, `"measuredAt":"2026-06-01T12:00:00Z"`) {
			t.Errorf("the payload is not ProtoJSON: %s", text)
		}
	})
}

// Middleware runs in the order of Kratos' own servers: the option first, then that of the
// exact operation or else of the longest prefix. Use applies to later attempts, too.
func TestMiddleware(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	step := func(name string) middleware.Middleware {
		return func(next middleware.Handler) middleware.Handler {
			return func(ctx context.Context, req any) (any, error) {
				mu.Lock()
				order = append(order, name)
				mu.Unlock()
				return next(ctx, req)
			}
		}
	}
	url := mqtttest.InProcess(t).URL()
	done := make(chan struct{}, 1)
	srv := served(t, configured(url, "service"), nil, &meters{record: func(context.Context, *v1.Reading) error {
		done <- struct{}{}
		return nil
	}}, mqttserver.Middleware(step("first"), nil, step("second")), func(s *mqttserver.Server) {
		s.Use("/meter.v1.*", step("longest prefix"))
		s.Use("/*", step("short prefix"))
	})
	c := client(t, configured(url, "publisher"), nil)
	for _, want := range [][]string{{"first", "second", "longest prefix"}, {"first", "second", "exact"}} {
		if err := c.RecordReading(within(t), &v1.Reading{MeterId: "m1"}); err != nil {
			t.Fatal(err)
		}
		receive(t, done)
		mu.Lock()
		if !slices.Equal(order, want) {
			t.Errorf("got %q, want %q", order, want)
		}
		order = nil
		mu.Unlock()
		srv.Use("/meter.v1.MeterEvents/RecordReading", step("exact"))
	}
}

// Metadata of a request that is handled goes along, and a handler finds it only if the server
// allows it.
func TestMetadata(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	got := make(chan string, 1)
	served(t, configured(url, "service"), nil, &meters{record: func(ctx context.Context, _ *v1.Reading) error {
		md, _ := metadata.FromServerContext(ctx)
		got <- md.Get("x-md-global-tenant") + "," + md.Get("x-md-global-secret")
		return nil
	}}, mqttserver.Middleware(kmetadata.Server()), mqttserver.AllowedMetadata("x-md-global-tenant"))
	ctx := metadata.NewServerContext(within(t), metadata.Metadata{"x-md-global-tenant": {"blue"}, "x-md-global-secret": {"no"}, "x-md-local": {"no"}})
	if err := client(t, configured(url, "publisher"), nil).RecordReading(ctx, &v1.Reading{MeterId: "m1"}); err != nil {
		t.Fatal(err)
	}
	if s := receive(t, got); s != "blue," {
		t.Errorf("got %q", s)
	}
}

// A Kratos v3 application starts and stops the server, and is in the contexts of handlers.
func TestKratosApplication(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	got := make(chan string, 1)
	srv := mqttserver.Open(configured(b.URL(), "{service}-{hostname}"), nil, new(logs).logger())
	v1.RegisterMeterEventsMQTTServer(srv, &meters{record: func(ctx context.Context, _ *v1.Reading) error {
		app, _ := kratos.FromContext(ctx)
		got <- app.Name()
		return nil
	}}, event.Group("{service}"))
	app := kratos.New(kratos.Name("meters"), kratos.Server(srv), kratos.Signal())
	ended := make(chan error, 1)
	go func() { ended <- app.Run() }()
	if err := srv.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
	if s := b.Sessions()[0]; !strings.HasPrefix(s.ClientID, "meters-") || !slices.ContainsFunc(s.Filters, func(f string) bool { return strings.HasPrefix(f, "$share/meters/") }) {
		t.Errorf("client id %q and filters %q, want the name of the application in both", s.ClientID, s.Filters)
	}
	if endpoints := app.Endpoint(); len(endpoints) != 1 || endpoints[0] != b.URL() {
		t.Errorf("endpoints %q, want %q", endpoints, b.URL())
	}
	if err := client(t, configured(b.URL(), "publisher"), nil).RecordReading(within(t), &v1.Reading{MeterId: "m1"}); err != nil {
		t.Fatal(err)
	}
	if name := receive(t, got); name != "meters" {
		t.Errorf("got %q", name)
	}
	if err := app.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := receive(t, ended); err != nil {
		t.Error(err)
	}
}

// Stop waits for a handler that runs, and acknowledges its message.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	running, release, handled := make(chan struct{}), make(chan struct{}), make(chan struct{}, 2)
	srv := served(t, configured(b.URL(), "service"), nil, &meters{record: func(context.Context, *v1.Reading) error {
		close(running) // a second delivery would panic
		<-release
		handled <- struct{}{}
		return nil
	}})
	if err := client(t, configured(b.URL(), "publisher"), nil).RecordReading(within(t), &v1.Reading{MeterId: "m1"}); err != nil {
		t.Fatal(err)
	}
	receive(t, running)
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Stop(context.Background()) }()
	mqtttest.Eventually(t, patience, func() bool { return !srv.Health().Ready })
	close(release)
	if err := receive(t, stopped); err != nil {
		t.Fatal(err)
	}
	receive(t, handled)
	if err := srv.Start(t.Context()); err != nil { // the session has nothing left
		t.Fatal(err)
	}
	if err := srv.WaitReady(within(t)); err != nil {
		t.Fatal(err)
	}
}

// Hand-registered handlers get the value, the topic and the headers; requests get the reply.
func TestByHand(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, url string) {
		type note struct{ Text string }
		got := make(chan string, 1)
		srv := mqttserver.NewServer(mqttserver.WithAddress([]string{url}), mqttserver.WithClientId("by-hand"),
			mqttserver.WithBrokerOptions(mqttbroker.WithKratosLogger(new(logs).logger())))
		t.Cleanup(func() { _ = srv.Stop(context.Background()) })
		err := mqttserver.RegisterSubscriber(srv, t.Context(), "notes/+", func(_ context.Context, topic string, headers mqttbroker.Headers, n *note) error {
			got <- topic + " " + headers["color"] + " " + n.Text
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		err = mqttserver.RegisterReplier(srv, t.Context(), "upper/+", func(_ context.Context, n *note) (*note, error) {
			return &note{strings.ToUpper(n.Text)}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := srv.WaitReady(within(t)); err != nil {
			t.Fatal(err)
		}
		if err := srv.Publish(within(t), "notes/1", note{"hello"}, event.Header("color", "red")); err != nil {
			t.Fatal(err)
		}
		if s := receive(t, got); s != "notes/1 red hello" {
			t.Errorf("got %q", s)
		}
		reply, err := mqttbroker.Request[note](within(t), srv, "upper/1", note{"hello"})
		if err != nil || reply.Text != "HELLO" {
			t.Errorf("got %v, %v", reply, err)
		}
		if err := srv.Broker().Start(t.Context()); event.ReasonOf(err) != event.ReasonBadRequest {
			t.Errorf("Start of the server's broker: %v", err)
		}
	})
}

// Presence is announced, and seen by those who watch it.
func TestPresence(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	seen := make(chan bool, 4)
	watcher := mqttserver.Open(configured(url, "watcher"), nil, new(logs).logger())
	v1.WatchMeterEventsPresence(watcher, func(_ context.Context, p *apiv1.Presence) error {
		if p.GetClientId() == "service" {
			seen <- p.GetOnline()
		}
		return nil
	})
	if err := watcher.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = watcher.Stop(context.Background()) })
	srv := served(t, configured(url, "service"), nil, &meters{})
	if online := receive(t, seen); !online {
		t.Error("not online")
	}
	if err := srv.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if online := receive(t, seen); online {
		t.Error("online after Stop")
	}
}
