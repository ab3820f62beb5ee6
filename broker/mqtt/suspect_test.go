package mqtt_test

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-kratos/kratos/v2/log"
	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// convictedWithin checks that a message was convicted within a second: that the client paused
// for less before its connections, and lost no more of them than it takes. What the machine
// takes for them is not counted.
func convictedWithin(t *testing.T, out *logs) {
	t.Helper()
	const most = 20
	var paused time.Duration
	lost := regexp.MustCompile(`msg=mqtt: connection lost .*kratosmqtt\.retry_in=(\S+)`).FindAllStringSubmatch(out.String(), -1)
	for _, l := range lost {
		pause, err := time.ParseDuration(l[1])
		if err != nil {
			t.Fatal(err)
		}
		paused += pause
	}
	if paused > time.Second || len(lost) > most {
		t.Errorf("convicted after pauses of %v and %d connections, want %v and %d at most", paused, len(lost), time.Second, most)
	}
}

// ending is a way in which a broker ends the connection because of a packet.
type ending struct {
	name, protocol string
	do             testbroker.Action
	reason         event.Reason
	code           int
}

func endings() []ending {
	return []ending{
		{"3.1.1 FIN", "3.1.1", testbroker.End(0), event.ReasonRefused, 502},
		{"3.1.1 RST", "3.1.1", testbroker.CutBefore(), event.ReasonRefused, 502},
		{"5 RST", "5", testbroker.CutBefore(), event.ReasonRefused, 502},
		{"5 DISCONNECT 0x87", "5", testbroker.End(0x87), event.ReasonNotAuthorized, 403},
		{"5 DISCONNECT 0x95", "5", testbroker.End(0x95), event.ReasonTooLarge, 413},
	}
}

// lossSpy records why connections ended.
type lossSpy struct {
	mu   sync.Mutex
	list []event.ConnectionLostInfo
}

func (s *lossSpy) OnConnectionLost(i event.ConnectionLostInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, i)
}

func (s *lossSpy) all() []event.ConnectionLostInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]event.ConnectionLostInfo(nil), s.list...)
}

// A message for which the broker ends the connection fails within a second, and no
// other message fails. The error, the log, the hook and the health report the same
// cause in the same words.
func TestForbiddenPublishHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, testbroker.Publish, "forbidden", e.do)
			spy := new(lossSpy)
			defaults := mqttbroker.WithConnectRetryInterval(200 * time.Millisecond)
			m, out := logged(t, b.URL(), mqttbroker.WithProtocol(e.protocol), defaults, mqttbroker.WithMaxReconnectInterval(30*time.Second), mqttbroker.WithHooks(spy))
			if err := m.Connect(); err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			for i := range 50 {
				all.Go(func() {
					if err := m.Publish(within(t, patience), fmt.Sprintf("free/%d", i), broker.NewMessage("x")); err != nil {
						t.Errorf("another topic: %v", err)
					}
				})
			}
			err := m.Publish(within(t, patience), "forbidden", broker.NewMessage("x"))
			all.Wait()
			convictedWithin(t, out)
			got := wantReason(t, err, e.reason, e.code)
			if !got.Convicted || got.Topic != "forbidden" || event.LossKindOf(err) != event.LossPublish {
				t.Errorf("%+v", got)
			}
			oneVerdict(t, got, spy, out, m.Health().LastLoss)
			if out.count("another client") != 0 {
				t.Error("taken for a takeover")
			}
		})
	}
}

// oneVerdict checks that error, hook, log and health report the same.
func oneVerdict(t *testing.T, err error, spy *lossSpy, out *logs, last *event.LossError) {
	t.Helper()
	mqtttest.Eventually(t, patience, func() bool { return len(spy.all()) >= 2 })
	list := spy.all()
	end := list[len(list)-1]
	if end.Kind != event.LossPublish || last == nil || last.Kind != event.LossPublish || last.Topic != "forbidden" {
		t.Fatalf("hook %+v, health %+v", end, last)
	}
	for name, text := range map[string]string{"error": err.Error(), "hook": end.Err.Error(), "log": out.String()} {
		if !strings.Contains(text, last.Error()) {
			t.Errorf("the %s does not say %q: %s", name, last, text)
		}
	}
}

// forbid makes the broker end each connection that carries this topic or filter.
func forbid(b *mqtttest.InProcessBroker, kind testbroker.PacketType, name string, do testbroker.Action) *testbroker.Injected {
	return b.Inject(testbroker.Fault{Direction: testbroker.ToBroker, Type: kind, Filter: testbroker.Topic(name), Do: do})
}

// Acknowledgements of other messages on a connection do not acquit the message that
// ends it.
func TestProgressOfOthersAcquitsNobody(t *testing.T) {
	t.Parallel()
	for _, e := range endings() {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, testbroker.Publish, "forbidden", e.do)
			m, out := logged(t, b.URL(), mqttbroker.WithProtocol(e.protocol), mqttbroker.WithConnectRetryInterval(200*time.Millisecond))
			if err := m.Connect(); err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			var load sync.WaitGroup
			for i := range 8 { // there are always others in flight
				load.Go(func() {
					for ctx.Err() == nil {
						if err := m.Publish(within(t, patience), fmt.Sprintf("free/%d", i), broker.NewMessage("x")); err != nil {
							t.Errorf("another topic: %v", err)
						}
					}
				})
			}
			err := m.Publish(within(t, patience), "forbidden", broker.NewMessage("x"))
			stop()
			load.Wait()
			wantReason(t, err, e.reason, e.code)
			convictedWithin(t, out)
		})
	}
}

// Asynchronous publishes and publishes at QoS 2 are treated alike.
func TestForbiddenPublishOfEveryForm(t *testing.T) {
	t.Parallel()
	for _, qos := range []byte{1, 2} {
		for _, e := range endings() {
			t.Run(fmt.Sprintf("%s QoS %d", e.name, qos), func(t *testing.T) {
				t.Parallel()
				b := mqtttest.InProcess(t)
				forbid(b, testbroker.Publish, "forbidden", e.do)
				p, err := mqttbroker.NewPublisher(broker.WithAddress(b.URL()), mqttbroker.WithProtocol(e.protocol),
					mqttbroker.WithKratosLogger(log.NewStdLogger(new(logs))),
					mqttbroker.WithClientId("form"), mqttbroker.WithConnectRetryInterval(10*time.Millisecond))
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				defer func() { _ = p.Stop(within(t, patience)) }()
				bad, err := p.BeginPublish(within(t, patience), "forbidden", nil, event.QoS(qos))
				if err != nil {
					t.Fatal(err)
				}
				var good []*mqttbroker.Pending
				for range 100 {
					w, err := p.BeginPublish(within(t, patience), "free", nil, event.QoS(qos))
					if err != nil {
						t.Fatal(err)
					}
					good = append(good, w)
				}
				if got := wantReason(t, bad.Wait(within(t, patience)), e.reason, e.code); !got.Convicted {
					t.Error(got)
				}
				for _, w := range good {
					if err := w.Wait(within(t, patience)); err != nil {
						t.Fatal(err)
					}
				}
			})
		}
	}
}

// Publishes for which a Mosquitto with its default settings closes the connection.
func TestMosquittoThatCloses(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t, mqtttest.WithConfig("retain_available false"))
	deep := strings.Repeat("a/", 201) + "a"
	for name, send := range map[string]func(*mqttbroker.Broker) error{
		"retained": func(m *mqttbroker.Broker) error {
			return m.Publish(within(t, patience), "kept", broker.NewMessage("x"), mqttbroker.WithPublishRetained(true))
		},
		"201 levels": func(m *mqttbroker.Broker) error { return m.Publish(within(t, patience), deep, broker.NewMessage("x")) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m, out := logged(t, b.URL(), mqttbroker.WithConnectRetryInterval(200*time.Millisecond), mqttbroker.WithMaxReconnectInterval(30*time.Second))
			if err := m.Connect(); err != nil {
				t.Fatal(err)
			}
			got := wantReason(t, send(m), event.ReasonRefused, 502)
			if convictedWithin(t, out); !got.Convicted {
				t.Error(got)
			}
			for i := range 20 {
				publish(t, m, fmt.Sprintf("free/%d", i), "x")
			}
			if out.count("another client") != 0 {
				t.Error("taken for a takeover")
			}
		})
	}
}

// A broker that closes the connection because of a forbidden SUBSCRIBE is not taken for
// a takeover by another client. The filter is found among the others, which are
// granted.
func TestForbiddenSubscriptionIsFound(t *testing.T) {
	t.Parallel()
	for _, e := range endings()[:4] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, testbroker.Subscribe, "forbidden/#", e.do)
			m, out := logged(t, b.URL(), mqttbroker.WithProtocol(e.protocol))
			got := make(map[string]<-chan seen)
			for _, f := range []string{"a", "b", "forbidden/#", "c"} {
				got[f] = subscribe(t, m, f)
			}
			err := m.Connect()
			convictedWithin(t, out)
			refusal := wantReason(t, err, e.reason, e.code)
			if !refusal.Convicted || refusal.Topic != "forbidden/#" || event.LossKindOf(err) != event.LossSubscribe || out.count("another client") != 0 {
				t.Errorf("%+v", refusal)
			}
		})
	}
}

// The same for a filter that is added later: only this filter fails.
func TestForbiddenSubscriptionLater(t *testing.T) {
	t.Parallel()
	for _, e := range endings()[:4] {
		t.Run(e.name, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.InProcess(t)
			forbid(b, testbroker.Subscribe, "forbidden/#", e.do)
			m := open(t, b.URL(), mqttbroker.WithProtocol(e.protocol), mqttbroker.WithClientId("later"))
			got := subscribe(t, m, "a")
			if err := m.Connect(); err != nil {
				t.Fatal(err)
			}
			_, err := m.Subscribe("forbidden/#", func(context.Context, broker.Event) error { return nil }, nil)
			if refusal := wantReason(t, err, e.reason, e.code); !refusal.Convicted {
				t.Errorf("%+v", refusal)
			}
			publish(t, m, "a", "x")
			receive(t, got)
			mqtttest.Eventually(t, patience, func() bool { h := m.Health(); return h.Ready && h.Filters == 1 })
		})
	}
}
