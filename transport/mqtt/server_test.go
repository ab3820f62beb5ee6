package mqtt_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2"
	"github.com/tx7do/kratos-transport/broker"
	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

func TestEndpointBeforeStart(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ address, want string }{
		"plain":            {"mqtt://127.0.0.1:1884", "mqtt://127.0.0.1:1884"},
		"user information": {"mqtts://user:PLANTED@broker.example:8884", "mqtts://broker.example:8884"},
		"IPv6":             {"tcp://[::1]:1884", "tcp://[::1]:1884"},
		"IPv6, no port":    {"tcp://[::1]", "tcp://[::1]:1883"},
		"no port":          {"mqtt://broker.example", "mqtt://broker.example:1883"},
		"no port, TLS":     {"ssl://broker.example", "ssl://broker.example:8883"},
		"no scheme":        {"broker.example", "tcp://broker.example:1883"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, _ := server(t, tt.address)
			u, err := srv.Endpoint()
			if err != nil || u == nil {
				t.Fatalf("endpoint %v, %v", u, err)
			}
			if u.String() != tt.want || u.User != nil || srv.Address() != tt.want {
				t.Errorf("got %s and %s, want %s", u, srv.Address(), tt.want)
			}
		})
	}
	for name, address := range map[string]string{"none": "", "scheme": "ftp://user:PLANTED@h", "port": "mqtt://user:PLANTED@h:port"} {
		t.Run("bad "+name, func(t *testing.T) {
			t.Parallel()
			srv, _ := server(t, address)
			u, err := srv.Endpoint()
			wantReason(t, err, event.ReasonBadRequest, 400)
			if u != nil || strings.Contains(err.Error(), "PLANTED") {
				t.Errorf("endpoint %v, %v", u, err)
			}
			if err := kratos.New(kratos.Server(srv)).Run(); err == nil {
				t.Error("the app runs")
			}
		})
	}
}

func TestStartAndStopAgain(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, b mqtttest.Broker) {
		proxy := mqtttest.NewProxy(t, b.URL())
		srv, _ := server(t, proxy.URL())
		got := make(chan string, 10)
		register(t, srv, "a", into(got))
		for range 3 {
			start(t, srv)
			if err := srv.Start(t.Context()); err != nil { // a second call does nothing
				t.Fatal(err)
			}
			publish(t, srv, "a")
			receive(t, got)
			for range 2 {
				if err := srv.Stop(within(t, patience)); err != nil {
					t.Fatal(err)
				}
			}
			mqtttest.Eventually(t, patience, func() bool { return proxy.Open() == 0 })
		}
		if n := proxy.Counts().Connections; n != 6 {
			t.Errorf("%d connections, want 2 for each of 3 starts", n)
		}
	})
}

func TestStartWhileBrokerIsDown(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	b.Stop()
	srv, _ := server(t, b.URL())
	got := make(chan string, 10)
	register(t, srv, "a", into(got))
	if err := srv.Start(t.Context()); err != nil {
		t.Fatalf("down is no error: %v", err)
	}
	wantReason(t, srv.WaitReady(within(t, 50*time.Millisecond)), event.ReasonNetwork, 503)
	b.Start()
	if err := srv.WaitReady(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	publish(t, srv, "a")
	receive(t, got)

	fast, _ := server(t, "mqtt://127.0.0.1:1", mqttserver.WithBrokerOptions(mqttbroker.WithFailFast(true)))
	wantReason(t, fast.Start(t.Context()), event.ReasonNetwork, 503)
}

func TestStopDuringOutage(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	srv, _ := server(t, proxy.URL())
	register(t, srv, "a", into(make(chan string, 10)))
	start(t, srv)
	publish(t, srv, "a")
	proxy.Refuse(true)
	proxy.Cut()
	started := time.Now()
	if err := srv.Stop(within(t, patience)); err != nil {
		t.Error(err)
	}
	if took := time.Since(started); took > patience/2 {
		t.Errorf("took %v", took)
	}
}

// Stop waits for the running handler, which may still publish, and for the PUBACK of
// that message.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	srv, _ := server(t, proxy.URL())
	entered, leave := make(chan struct{}), make(chan struct{})
	result := make(chan error, 1)
	register(t, srv, "a", func(ctx context.Context, _ string, _ broker.Headers, r *reading) error {
		close(entered)
		<-leave
		err := srv.Publish(ctx, "b", broker.NewMessage(r))
		result <- err
		return err
	})
	start(t, srv)
	publish(t, srv, "a")
	receive(t, entered)
	stopped := make(chan error, 1)
	go func() { stopped <- srv.Stop(within(t, patience)) }()
	select {
	case <-stopped:
		t.Error("stopped before the handler returned")
	case <-time.After(50 * time.Millisecond):
	}
	close(leave)
	if err := receive(t, stopped); err != nil {
		t.Error(err)
	}
	if err := receive(t, result); err != nil {
		t.Errorf("publish from a draining handler: %v", err)
	}
	mqtttest.Eventually(t, patience, func() bool {
		return proxy.Counts().Passed(mqtttest.ToBroker, mqtttest.TypePuback) == 1
	}, "the message is not acknowledged")
}

func TestStopGivesUpInTime(t *testing.T) {
	t.Parallel()
	srv, out := server(t, mqtttest.InProcess(t).URL())
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	register(t, srv, "a", func(context.Context, string, broker.Headers, *reading) error {
		entered <- struct{}{}
		<-leave // even if its context ends
		return nil
	})
	start(t, srv)
	publish(t, srv, "a")
	receive(t, entered)
	err := srv.Stop(within(t, 50*time.Millisecond))
	wantReason(t, err, event.ReasonTimeout, 504)
	mqtttest.Eventually(t, patience, func() bool { return out.count("1 messages unacknowledged") == 1 }, "what is left is not in the log")
	close(leave)
}

func TestPublishFromHandlerDoesNotDeadlock(t *testing.T) {
	t.Parallel()
	const messages = 200
	srv, _ := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithBrokerOptions(mqttbroker.WithSubscriberConfig(&v1.Subscriber{Concurrency: 1})))
	got := make(chan string, messages)
	register(t, srv, "in/+", func(ctx context.Context, _ string, _ broker.Headers, r *reading) error {
		return srv.Publish(ctx, "out", broker.NewMessage(r))
	})
	register(t, srv, "out", into(got))
	start(t, srv)
	for n := range messages {
		publish(t, srv, fmt.Sprintf("in/%d", n), broker.WithPublishAsync(nil))
	}
	for range messages {
		receive(t, got)
	}
}

func TestRegisterSubscriberRefusesBadInput(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL())
	ok := into(make(chan string, 1))
	tests := map[string]struct {
		err    error
		reason event.Reason
	}{
		"nil context":   {mqttserver.RegisterSubscriber(srv, nil, "a", ok), event.ReasonBadRequest},
		"nil handler":   {mqttserver.RegisterSubscriber[reading](srv, t.Context(), "a", nil), event.ReasonBadRequest},
		"bad filter":    {mqttserver.RegisterSubscriber(srv, t.Context(), "a/#/b", ok), event.ReasonBadTopic},
		"everything":    {mqttserver.RegisterSubscriber(srv, t.Context(), "#", ok), event.ReasonBadTopic},
		"unknown codec": {mqttserver.RegisterSubscriber(srv, t.Context(), "a", ok, mqttbroker.WithSubscribeCodec("nope")), event.ReasonCodec},
		"QoS 3":         {mqttserver.RegisterSubscriber(srv, t.Context(), "a", ok, mqttbroker.WithSubscribeQos(3)), event.ReasonBadRequest},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { wantReason(t, tt.err, tt.reason, 400) })
	}
	if err := mqttserver.RegisterSubscriber(srv, t.Context(), "#", ok, mqttbroker.WithSubscribeBroad()); err != nil {
		t.Error(err)
	}
}

func TestBadOptionsAreReportedTogether(t *testing.T) {
	t.Parallel()
	negative := durationpb.New(-time.Second)
	srv, _ := server(t, "ftp://user:PLANTED@h",
		mqttserver.WithCodec("nope"),
		mqttserver.WithBrokerOptions(mqttbroker.WithConnectionConfig(&v1.Connection{KeepAlive: negative}),
			mqttbroker.WithSubscriberConfig(&v1.Subscriber{HandlerTimeout: negative, RetryBudget: negative, DeadLetterTopic: "a/#"})))
	_, endpoint := srv.Endpoint()
	for name, err := range map[string]error{
		"Endpoint":           endpoint,
		"RegisterSubscriber": mqttserver.RegisterSubscriber(srv, t.Context(), "a", into(nil)),
		"Start":              srv.Start(t.Context()),
		"WaitReady":          srv.WaitReady(t.Context()),
		"Publish":            srv.Publish(t.Context(), "a", broker.NewMessage("x")),
	} {
		t.Run(name, func(t *testing.T) {
			wantReason(t, err, event.ReasonBadRequest, 400)
			for _, want := range []string{"scheme", `codec "nope"`, "connection.keep_alive", "subscriber.handler_timeout", "subscriber.retry_budget", "subscriber.dead_letter_topic"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
			if strings.Contains(err.Error(), "PLANTED") {
				t.Errorf("the password is in: %v", err)
			}
		})
	}
}

// Mosquitto's access rules grant every SUBSCRIBE and withhold the messages instead, so
// that a scripted broker has to refuse here.
func TestRefusedFilterFailsStart(t *testing.T) {
	t.Parallel()
	fake := mqtttest.ScriptedBroker(t, func(conn net.Conn) {
		for {
			p, err := mqtttest.ReadPacket(conn)
			if err == nil && p.Type() == mqtttest.TypeConnect {
				_, err = conn.Write(mqtttest.ConnackPacket(4, false, 0))
			}
			if err == nil && p.Type() == mqtttest.TypeSubscribe {
				_, err = conn.Write(mqtttest.SubackPacket(4, p.ID(), 0x80))
			}
			if err != nil {
				return
			}
		}
	})
	srv, _ := server(t, fake.URL())
	register(t, srv, "closed/#", into(nil))
	err := srv.Start(t.Context())
	wantReason(t, err, event.ReasonRefused, 502)
	if !strings.Contains(err.Error(), `"closed/#"`) || !strings.Contains(err.Error(), "SUBACK 0x80") {
		t.Errorf("filter and reason are not in: %v", err)
	}
}

func TestWrongCredentialsFailStart(t *testing.T) {
	t.Parallel()
	const secret = "PLANTED-s3cret"
	for name, b := range map[string]mqtttest.Broker{
		"in-process": mqtttest.InProcess(t, testbroker.WithUsers(map[string]string{"user": secret})),
		"mosquitto":  mqtttest.Mosquitto(t, mqtttest.WithCredentials("user", secret)),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv, out := server(t, b.URL(), mqttserver.WithAuth("user", "x"+secret))
			register(t, srv, "a", into(nil))
			err := srv.Start(t.Context())
			wantReason(t, err, event.ReasonNotAuthorized, 403)
			if text := fmt.Sprintf("%v %+v %s", err, err, out); strings.Contains(text, "PLANTED") {
				t.Errorf("the secret is in: %s", text)
			}
			good, out := server(t, strings.Replace(b.URL(), "://", "://user:"+secret+"@", 1))
			start(t, good)
			publish(t, good, "a")
			if strings.Contains(out.String(), "PLANTED") {
				t.Errorf("the secret is in: %s", out)
			}
		})
	}
}

func TestHooks(t *testing.T) {
	t.Parallel()
	proxy := mqtttest.NewProxy(t, mqtttest.InProcess(t).URL())
	ups, downs := make(chan struct{}, 10), make(chan error, 10)
	srv, _ := server(t, proxy.URL(),
		mqttserver.WithOnConnect(func() { ups <- struct{}{} }),
		mqttserver.WithOnDisconnect(func(err error) { downs <- err; panic("hook") }))
	register(t, srv, "a", into(nil))
	start(t, srv)
	receive(t, ups)
	proxy.Cut()
	wantReason(t, receive(t, downs), event.ReasonNetwork, 503)
	receive(t, ups)
	if err := srv.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(downs) > 0 {
		t.Errorf("Stop counts as a loss: %v", <-downs)
	}
}

// One failing key does not delay the others, and its own messages stay in order.
func TestHandlerFailureStopsItsTopicOnly(t *testing.T) {
	t.Parallel()
	srv, _ := server(t, mqtttest.InProcess(t).URL())
	var bad atomic.Bool
	bad.Store(true)
	got := make(chan string, 10)
	register(t, srv, "key/+", func(_ context.Context, topic string, _ broker.Headers, _ *reading) error {
		if topic == "key/bad" && bad.Load() {
			return errors.New("not yet")
		}
		got <- topic
		return nil
	}, mqttbroker.WithSubscribeQos(1))
	start(t, srv)
	publish(t, srv, "key/bad")
	publish(t, srv, "key/good")
	if topic := receive(t, got); topic != "key/good" {
		t.Errorf("%q first", topic)
	}
	bad.Store(false)
	if topic := receive(t, got); topic != "key/bad" {
		t.Errorf("then %q", topic)
	}
}
