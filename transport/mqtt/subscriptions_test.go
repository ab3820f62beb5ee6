package mqtt_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2"
	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// engine.md D1b: a handler that is registered after Start receives the messages that
// the broker kept.
func TestRegistrationAfterStartGetsTheBacklog(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, b mqtttest.Broker) {
		id := mqttserver.WithClientId("after-start")
		got := make(chan string, 10)
		first, _ := server(t, b.URL(), id)
		register(t, first, "early/+", into(got))
		register(t, first, "late/+", into(got))
		start(t, first)
		if err := first.Stop(within(t, patience)); err != nil {
			t.Fatal(err)
		}
		source, _ := server(t, b.URL())
		start(t, source)
		for range 5 {
			publish(t, source, "late/1")
		}
		second, _ := server(t, b.URL(), id)
		register(t, second, "early/+", into(got))
		start(t, second)
		mqtttest.Eventually(t, patience, func() bool { return second.Health().UnmatchedKept == 5 })
		register(t, second, "late/+", into(got))
		for range 5 {
			if topic := receive(t, got); topic != "late/1" {
				t.Errorf("got %q", topic)
			}
		}
		if h := second.Health(); h.Unmatched != 0 || h.UnmatchedLetters != 0 {
			t.Errorf("%+v", h)
		}
	})
}

// engine.md D1c, D1d: a second session with the client id of a subscriber in this
// process would take over its session, with all messages that are not handled yet.
func TestClientIDSubscribesOnceInAProcess(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t)
	id := mqttserver.WithClientId("shared")
	first, _ := server(t, b.URL(), id, mqttserver.WithBrokerOptions(mqttbroker.WithServiceName("shop")))
	register(t, first, "a", into(make(chan string, 10)))
	start(t, first)

	refused := func(err error, owner string) {
		t.Helper()
		wantReason(t, err, event.ReasonTakenOver, 503)
		for _, part := range []string{`"shared"`, b.Addr(), `the server layer of service "shop"`, owner, `"shared-2"`} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q does not name %s", err, part)
			}
		}
	}
	second, _ := server(t, b.URL(), id, mqttserver.WithBrokerOptions(mqttbroker.WithServiceName("other")))
	register(t, second, "b", into(make(chan string, 10)))
	refused(second.Start(t.Context()), `the server layer of service "other"`)

	data := mqttbroker.NewBroker(broker.WithAddress(b.URL()), mqttbroker.WithClientId("shared"), mqttbroker.WithProtocol("3.1.1"))
	t.Cleanup(func() { _ = data.Disconnect() })
	if err := data.Connect(); err != nil {
		t.Fatal(err) // to publish, it may have the setting
	}
	if err := data.Publish(t.Context(), "c", broker.NewMessage([]byte("x"))); err != nil {
		t.Error(err)
	}
	_, err := data.Subscribe("c", func(context.Context, broker.Event) error { return nil }, nil)
	refused(err, "the data layer of service")
	if !first.Health().Ready {
		t.Error("the first one is not ready any more")
	}

	// The client id is free again after Stop. It is always free for another broker.
	if err := first.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	start(t, second)
	elsewhere, _ := server(t, mqtttest.InProcess(t).URL(), id)
	register(t, elsewhere, "a", into(make(chan string, 10)))
	start(t, elsewhere)
	if err := second.Stop(within(t, patience)); err != nil {
		t.Fatal(err)
	}
	start(t, first)
}

// engine.md D13: a filter that is granted at a lower QoS does not make Start fail; it is
// reported, and the server is not ready.
func TestLowerGrantIsToldAndNotReady(t *testing.T) {
	t.Parallel()
	b := mqtttest.InProcess(t, testbroker.MaxQoS(0))
	told := make(subscribeSpy, 10)
	srv, out := server(t, b.URL(), mqttserver.WithBrokerOptions(mqttbroker.WithHooks(told)))
	got := make(chan string, 10)
	register(t, srv, "a", into(got), mqttbroker.WithSubscribeQos(1))
	if err := srv.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	i := receive(t, told)
	if i.Filter != "a" || i.AskedQoS != 1 || i.GrantedQoS != 0 || i.Err == nil {
		t.Errorf("%+v", i)
	}
	mqtttest.Eventually(t, patience, func() bool {
		return out.count("messaging.destination.template=a kratosmqtt.qos=0 kratosmqtt.asked=1") == 1
	})
	if h := srv.Health(); h.Ready || !h.Connected || h.Granted != 1 || h.GrantedLower != 1 || h.LastError == nil {
		t.Errorf("%+v", h)
	}
	if list := srv.Filters(); len(list) != 1 || list[0].Filter != "a" || !list[0].Granted || list[0].AskedQoS != 1 || list[0].GrantedQoS != 0 || list[0].Err == nil {
		t.Errorf("%+v", list)
	}
	publish(t, srv, "a", mqttbroker.WithPublishQos(0))
	receive(t, got)
}

type subscribeSpy chan event.SubscribeInfo

func (s subscribeSpy) OnSubscribe(i event.SubscribeInfo) { s <- i }

// engine.md D15: a second handler of the same filter receives its retained message.
func TestSecondHandlerGetsTheRetainedMessage(t *testing.T) {
	t.Parallel()
	eachBroker(t, func(t *testing.T, b mqtttest.Broker) {
		srv, _ := server(t, b.URL())
		first, second := make(chan string, 10), make(chan string, 10)
		register(t, srv, "kept", into(first))
		start(t, srv)
		publish(t, srv, "kept", mqttbroker.WithPublishRetained(true))
		receive(t, first)
		register(t, srv, "kept", into(second))
		receive(t, second)
	})
}

// reports.md A8: the filters of a server that is started before other servers are
// granted before those open their ports.
func TestStartBeforeOtherServers(t *testing.T) {
	t.Parallel()
	for range 5 {
		b := mqtttest.InProcess(t)
		if _, err := b.Broker.Inject(testbroker.Fault{Direction: testbroker.ToBroker, Type: testbroker.Subscribe, Do: testbroker.Delay(50 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		srv, _ := server(t, b.URL())
		register(t, srv, "a", into(make(chan string, 10)))
		opened := &recordingServer{health: srv.Health}
		app := kratos.New(kratos.Logger(log.NewStdLogger(new(logs))), kratos.BeforeStart(srv.Start), kratos.Server(opened, srv))
		done := make(chan error)
		go func() { done <- app.Run() }()
		mqtttest.Eventually(t, patience, func() bool { return opened.started.Load() })
		if !opened.ready.Load() {
			t.Error("the port was open before the filter was granted")
		}
		if err := app.Stop(); err != nil {
			t.Error(err)
		}
		if err := receive(t, done); err != nil {
			t.Error(err)
		}
	}
}

// recordingServer stands for an HTTP server.
type recordingServer struct {
	health         func() event.Health
	started, ready atomic.Bool
}

func (s *recordingServer) Start(context.Context) error {
	s.ready.Store(s.health().Ready)
	s.started.Store(true)
	return nil
}

func (*recordingServer) Stop(context.Context) error { return nil }

func (*recordingServer) Endpoint() (*url.URL, error) { return url.Parse("http://127.0.0.1:1") }

// On MQTT 3.1.1, messages of a shared filter cannot be distinguished from those of
// another filter that matches the same topics. That is logged once, also for filters
// that are registered by hand.
func TestSharedBesideItsOwnFilterWarns(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		srv, out := server(t, mqtttest.InProcess(t).URL(), mqttserver.WithBrokerOptions(mqttbroker.WithProtocol(protocol)))
		got := make(chan string, 10)
		register(t, srv, "x/+", into(got), broker.WithSubscribeQueueName("g"))
		register(t, srv, "x/1", into(got))
		register(t, srv, "apart", into(got), broker.WithSubscribeQueueName("g"))
		start(t, srv)
		want := 0
		if protocol == "3.1.1" {
			want = 1
		}
		register(t, srv, "later", into(got))
		mqtttest.Eventually(t, patience, func() bool {
			return out.count("may also run the handler of the other") == want &&
				out.count("messaging.destination.template=x/1 kratosmqtt.names=$share/g/x/+") == want
		})
		if lines := strings.Split(out.String(), "\n"); slices.ContainsFunc(lines, func(l string) bool {
			return strings.Contains(l, "$share/g/apart") && strings.Contains(l, "may also run")
		}) {
			t.Errorf("%s", out)
		}
	}
}
