package mqtt_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	kerrors "github.com/go-kratos/kratos/v2/errors"
	"github.com/go-kratos/kratos/v2/middleware"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/wrapperspb"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/option"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// carrier is a format in which requests are sent.
type carrier struct {
	url     string
	version broker.Option
	event   bool // in CloudEvents
}

// requester is a broker with access to its client, which can send what the public types
// cannot express, such as an arbitrary response topic.
type requester struct {
	*mqttbroker.Broker
	client func() (*client.Client, error)
}

func (c carrier) broker(t testing.TB, opts ...broker.Option) *requester {
	t.Helper()
	r := new(requester)
	all := []broker.Option{broker.WithAddress(c.url), c.version, broker.WithCodec("json"), func(o *broker.Options) {
		o.Context = option.Change(o.Context, func(s *client.Settings) {
			s.Bind = func(of func() (*client.Client, error)) { r.client = of }
		})
	}}
	if c.event {
		all = append(all, mqttbroker.WithCloudEvents("/client"))
	}
	r.Broker = mqttbroker.NewBroker(append(all, opts...)...)
	if err := r.Connect(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Disconnect() })
	return r
}

func (c carrier) server(t testing.TB, opts ...mqttserver.ServerOption) *mqttserver.Server {
	t.Helper()
	all := []mqttserver.ServerOption{mqttserver.WithBrokerOptions(c.version)}
	if c.event {
		all = append(all, mqttserver.WithBrokerOptions(mqttbroker.WithCloudEvents("/server")))
	}
	srv, _ := server(t, c.url, append(all, opts...)...)
	return srv
}

func eachCarrier(t *testing.T, test func(t *testing.T, c carrier)) {
	t.Helper()
	t.Run("5", func(t *testing.T) {
		t.Parallel()
		test(t, carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), false})
	})
	t.Run("5 in CloudEvents", func(t *testing.T) {
		t.Parallel()
		test(t, carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), true})
	})
	t.Run("3.1.1 in CloudEvents", func(t *testing.T) {
		t.Parallel()
		test(t, carrier{mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("3.1.1"), true})
	})
}

func double(_ context.Context, r *reading) (*reading, error) {
	switch {
	case r.Celsius < -273:
		return nil, kerrors.BadRequest("TOO_COLD", "no such temperature")
	case r.Celsius > 1000:
		return nil, errors.New("broken")
	}
	return &reading{r.Celsius * 2}, nil
}

func TestRequestAndReply(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		srv := c.server(t, mqttserver.UnboundReplyTopics("reply/#"))
		if err := mqttserver.RegisterReplier(srv, t.Context(), "double", double); err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		b := c.broker(t)
		ctx := within(t, patience)
		t.Run("typed", func(t *testing.T) {
			r, err := mqttbroker.Request[reading](ctx, b, "double", reading{21})
			if err != nil || r.Celsius != 42 {
				t.Errorf("got %v, %v", r, err)
			}
		})
		t.Run("bytes", func(t *testing.T) {
			m, err := b.Request(ctx, "double", broker.NewMessage(reading{1}))
			if err != nil || string(m.Body.([]byte)) != `{"celsius":2}` {
				t.Errorf("got %v, %v", m, err)
			}
		})
		t.Run("by the server itself", func(t *testing.T) {
			r, err := mqttbroker.Request[reading](ctx, srv, "double", reading{3})
			if err != nil || r.Celsius != 6 {
				t.Errorf("got %v, %v", r, err)
			}
		})
		t.Run("on a topic of one's own", func(t *testing.T) {
			r, err := mqttbroker.Request[reading](ctx, b, "double", reading{4}, broker.WithReplyTopic("reply/here"))
			if err != nil || r.Celsius != 8 {
				t.Errorf("got %v, %v", r, err)
			}
		})
		t.Run("error", func(t *testing.T) {
			_, err := mqttbroker.Request[reading](ctx, b, "double", reading{-300})
			if k := kerrors.FromError(err); k.Code != 400 || k.Reason != "TOO_COLD" || k.Message != "no such temperature" {
				t.Errorf("got %v", err)
			}
			_, err = mqttbroker.Request[reading](ctx, b, "double", reading{2000})
			if k := kerrors.FromError(err); k.Code != 500 || k.Reason != "INTERNAL" || k.Message != "internal error" {
				t.Errorf("got %v", err)
			}
		})
		t.Run("cannot be decoded", func(t *testing.T) {
			_, err := mqttbroker.Request[reading](ctx, b, "double", "text")
			if k := kerrors.FromError(err); k.Code != 400 || k.Reason != "CODEC" {
				t.Errorf("got %v", err)
			}
		})
		t.Run("many at once", func(t *testing.T) {
			errs := make(chan error, 100)
			for i := range cap(errs) {
				go func() {
					r, err := mqttbroker.Request[reading](ctx, b, "double", reading{float64(i)})
					if err == nil && r.Celsius != float64(2*i) {
						err = errors.New("somebody else's reply")
					}
					errs <- err
				}()
			}
			for range cap(errs) {
				if err := receive(t, errs); err != nil {
					t.Fatal(err)
				}
			}
		})
	})
}

// The reply has the encoding of the request.
func TestReplyCodec(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		srv := c.server(t)
		upper := func(_ context.Context, s *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			return wrapperspb.String(strings.ToUpper(s.GetValue())), nil
		}
		if err := mqttserver.RegisterReplier(srv, t.Context(), "upper", upper); err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		b := c.broker(t)
		for _, codec := range []string{"json", "proto"} {
			m, err := b.Request(within(t, patience), "upper", broker.NewMessage(wrapperspb.String("a")), broker.WithRequestBodyCodec(codec))
			want := map[string]string{"json": `"A"`, "proto": "\n\x01A"}[codec]
			if err != nil || string(m.Body.([]byte)) != want {
				t.Errorf("%s: got %v, %v", codec, m, err)
			}
		}
	})
}

// Kratos' middleware sees the handling of a request, and reply headers are sent back.
func TestReplierMiddlewareAndHeaders(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		outcomes := make(chan error, 10)
		srv := c.server(t, mqttserver.Middleware(func(next middleware.Handler) middleware.Handler {
			return func(ctx context.Context, req any) (any, error) {
				reply, err := next(ctx, req)
				outcomes <- err
				return reply, err
			}
		}))
		err := mqttserver.RegisterReplier(srv, t.Context(), "double", func(ctx context.Context, r *reading) (*reading, error) {
			tr, _ := mqttserver.FromContext(ctx)
			tr.ReplyHeader().Add("two", "1")
			tr.ReplyHeader().Add("two", tr.RequestHeader().Get("tenant"))
			return double(ctx, r)
		})
		if err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		b := c.broker(t)
		m, err := b.Request(within(t, patience), "double", broker.NewMessage(reading{1}, broker.WithHeader("tenant", "t")))
		if err != nil || m.Headers["two"] != "t" {
			t.Errorf("got %v, %v", m, err)
		}
		if err := receive(t, outcomes); err != nil {
			t.Errorf("the middleware saw %v", err)
		}
		_, _ = b.Request(within(t, patience), "double", broker.NewMessage(reading{-300}))
		if err := receive(t, outcomes); kerrors.Reason(err) != "TOO_COLD" {
			t.Errorf("the middleware saw %v", err)
		}
	})
}

// If a reply cannot be sent, the requester receives an error.
func TestReplyThatCannotBeSent(t *testing.T) {
	t.Parallel()
	c := carrier{mqtttest.InProcess(t).URL(), mqttbroker.WithProtocol("3.1.1"), true}
	srv := c.server(t)
	err := mqttserver.RegisterReplier(srv, t.Context(), "a", func(ctx context.Context, _ *reading) (*reading, error) {
		tr, _ := mqttserver.FromContext(ctx)
		tr.ReplyHeader().Set("not-legal", "")
		return new(reading), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	_, err = c.broker(t).Request(within(t, patience), "a", broker.NewMessage(reading{}))
	if k := kerrors.FromError(err); k.Code != 500 || k.Reason != "BAD_REPLY" {
		t.Errorf("got %v", err)
	}
}

func TestRequestWithoutReply(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		b := c.broker(t)
		t.Run("timeout", func(t *testing.T) {
			_, err := b.Request(t.Context(), "nobody", broker.NewMessage(reading{}), broker.WithRequestTimeout(50*time.Millisecond))
			wantReason(t, err, event.ReasonTimeout, 504)
		})
		t.Run("deadline", func(t *testing.T) {
			_, err := b.Request(within(t, 50*time.Millisecond), "nobody", broker.NewMessage(reading{}))
			wantReason(t, err, event.ReasonTimeout, 504)
		})
		t.Run("canceled", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := b.Request(ctx, "nobody", broker.NewMessage(reading{}))
			wantReason(t, err, event.ReasonCanceled, 499)
		})
		t.Run("option's context", func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			_, err := b.Request(t.Context(), "nobody", broker.NewMessage(reading{}), broker.WithRequestContext(ctx))
			wantReason(t, err, event.ReasonCanceled, 499)
		})
	})
}

func TestLateRepliesAreCounted(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		release := make(chan struct{})
		srv := c.server(t)
		err := mqttserver.RegisterReplier(srv, t.Context(), "slow", func(ctx context.Context, r *reading) (*reading, error) {
			<-release
			return double(ctx, r)
		})
		if err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		b := c.broker(t)
		_, err = b.Request(t.Context(), "slow", broker.NewMessage(reading{}), broker.WithRequestTimeout(300*time.Millisecond))
		wantReason(t, err, event.ReasonTimeout, 504)
		close(release)
		mqtttest.Eventually(t, patience, func() bool {
			return b.Health().LateReplies == 1
		})
	})
}

// The subscription for replies is restored after a reconnect, like others.
func TestRequestAfterReconnect(t *testing.T) {
	t.Parallel()
	eachCarrier(t, func(t *testing.T, c carrier) {
		srv := c.server(t)
		if err := mqttserver.RegisterReplier(srv, t.Context(), "double", double); err != nil {
			t.Fatal(err)
		}
		start(t, srv)
		b := c.broker(t, mqttbroker.WithClientId("a/+#%"))
		for range 3 {
			r, err := mqttbroker.Request[reading](within(t, patience), b, "double", reading{1})
			if err != nil || r.Celsius != 2 {
				t.Fatalf("got %v, %v", r, err)
			}
			if err := errors.Join(b.Disconnect(), b.Init(mqttbroker.WithInFlight(10)), b.Connect()); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestRequestIsRefused(t *testing.T) {
	t.Parallel()
	url := mqtttest.InProcess(t).URL()
	c := carrier{url, mqttbroker.WithProtocol("3.1.1"), false}
	b := c.broker(t)
	msg := broker.NewMessage(reading{})
	_, err := b.Request(t.Context(), "a", msg)
	wantReason(t, err, event.ReasonUnsupported, 501)
	_, err = b.Request(t.Context(), "a", nil)
	wantReason(t, err, event.ReasonBadRequest, 400)
	stopped := mqttbroker.NewBroker(broker.WithAddress(url))
	_, err = stopped.Request(t.Context(), "a", msg)
	wantReason(t, err, event.ReasonNotConnected, 503)
	srv := c.server(t)
	wantReason(t, mqttserver.RegisterReplier[reading, reading](srv, t.Context(), "a", nil), event.ReasonBadRequest, 400)
	wantReason(t, mqttserver.RegisterReplier(srv, nil, "a", double), event.ReasonBadRequest, 400)
}

// A message without a response topic is handled as by a subscriber.
func TestReplierTakesPlainMessages(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol("3.1.1")))
	got := make(chan float64, 10)
	err := mqttserver.RegisterReplier(srv, t.Context(), "a", func(_ context.Context, r *reading) (*reading, error) {
		got <- r.Celsius
		return r, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	publish(t, srv, "a")
	if v := receive(t, got); v != 21.5 {
		t.Errorf("got %v", v)
	}
}

// The request is acknowledged after the reply, so that no reply is lost.
func TestReplyBeforeAcknowledgement(t *testing.T) {
	t.Parallel()
	c := carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), false}
	proxy := mqtttest.NewProxy(t, c.url)
	order := make(chan mqtttest.PacketType, 100)
	proxy.Observe(func(o mqtttest.Observed) {
		if o.Direction == mqtttest.ToBroker && (o.Type() == mqtttest.TypePublish || o.Type() == mqtttest.TypePuback) {
			order <- o.Type()
		}
	})
	behind := c
	behind.url = proxy.URL()
	srv := behind.server(t)
	if err := mqttserver.RegisterReplier(srv, t.Context(), "double", double); err != nil {
		t.Fatal(err)
	}
	start(t, srv)
	if _, err := mqttbroker.Request[reading](within(t, patience), c.broker(t), "double", reading{1}); err != nil {
		t.Fatal(err)
	}
	if first, second := receive(t, order), receive(t, order); first != mqtttest.TypePublish || second != mqtttest.TypePuback {
		t.Errorf("%v before %v", first, second)
	}
}

func TestTransportShowsHeaders(t *testing.T) {
	t.Parallel()
	c := carrier{mqtttest.Mosquitto(t).URL(), mqttbroker.WithProtocol("5"), false}
	srv := c.server(t)
	got := make(chan *mqttserver.Transport, 1)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, _ *reading) error {
		tr, _ := mqttserver.FromContext(ctx)
		got <- tr
		return nil
	})
	start(t, srv)
	publish(t, srv, "a", mqttbroker.WithCallOptions(event.Header("Key", "1"), event.Header("key", "2"),
		event.Header("ID", "no"), event.Header("id", "7")))
	tr := receive(t, got)
	if v := tr.RequestHeader().Values("KEY"); !slices.Equal(v, []string{"1", "2"}) || tr.ID() != "7" {
		t.Errorf("got %v, id %q", v, tr.ID())
	}
}
