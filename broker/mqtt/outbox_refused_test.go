package mqtt_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	v1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// aclBroker starts a Mosquitto that accepts only publishes to allowed/#, and answers
// others with PUBACK 0x87 on MQTT 5. Without the limit of its queue Mosquitto would end
// the connection as well.
func aclBroker(t *testing.T) string {
	t.Helper()
	return mqtttest.Mosquitto(t, mqtttest.WithACL("topic readwrite allowed/#"), mqtttest.WithConfig("max_queued_messages 100000")).URL()
}

// Refused keys delay no others, however many there are, and an operator can see them.
func TestOutboxRefusedKeysHoldUpNobody(t *testing.T) {
	t.Parallel()
	const refused, allowed = 800, 10
	url := aclBroker(t)
	got := subscribe(t, connected(t, url, mqttbroker.WithProtocol("5")), "allowed/#")
	spy, store := new(outboxSpy), memory(t, 0)
	b, out := logged(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	for i := range refused {
		publish(t, b, fmt.Sprintf("devices/%d/command", i), "x")
	}
	advances(t, refused,
		func() int { return b.Health().Outbox.ClosedKeys },
		func() any { return b.Health() })
	began := time.Now()
	for i := range allowed {
		publish(t, b, fmt.Sprintf("allowed/%d", i), "x")
	}
	for range allowed {
		receive(t, got)
	}
	if took := time.Since(began); took > patience/4 {
		t.Errorf("10 allowed messages took %v", took)
	}
	wantDepth(t, store, refused)
	wantReason(t, b.Health().Outbox.RefusedError, event.ReasonNotAuthorized, 403)
	told := spy.want(t, event.OutboxRefused, 1)
	if told[0].ID == "" || told[0].Topic == "" || told[0].Err == nil {
		t.Errorf("hook was told %+v", told)
	}
	if n := out.count("the broker refuses a message"); n != 1 {
		t.Errorf("logged %d times", n)
	}
}

// A message that is refused for too long is put aside, and the messages behind it are
// sent.
func TestOutboxQuarantinesWhatIsRefused(t *testing.T) {
	t.Parallel()
	url := aclBroker(t)
	for name, limit := range map[string]mqttbroker.OutboxOption{
		"time":     mqttbroker.OutboxRefusedLimit(300*time.Millisecond, 0),
		"attempts": mqttbroker.OutboxRefusedLimit(0, 3),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := "allowed/" + name
			got := subscribe(t, connected(t, url, mqttbroker.WithProtocol("5")), topic)
			spy, store := new(outboxSpy), memory(t, 0)
			b, _ := logged(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store, limit), mqttbroker.WithHooks(spy))
			publish(t, b, "devices/1/command", "x", mqttbroker.WithCallOptions(event.OrderingKey("k")))
			publish(t, b, topic, "behind", mqttbroker.WithCallOptions(event.OrderingKey("k")))
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			receive(t, got)
			wantDepth(t, store, 0)
			if h := b.Health().Outbox; h.Quarantined != 1 || h.ClosedKeys != 0 || h.RefusedError != nil {
				t.Errorf("%+v", h)
			}
			if told := spy.want(t, event.OutboxQuarantined, 1); told[0].Topic != "devices/1/command" {
				t.Errorf("hook was told %+v", told)
			}
		})
	}
}

// Disconnect does not wait for messages that the broker refuses, and reports that they
// remain.
func TestDisconnectWithRefusedKeys(t *testing.T) {
	t.Parallel()
	url := aclBroker(t)
	for name, hold := range map[string]time.Duration{"at once": 0, "hold": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := memory(t, 0)
			b, out := logged(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store, mqttbroker.OutboxKeepAcknowledged(hold)))
			for i := range 10 {
				publish(t, b, fmt.Sprintf("devices/%d/command", i), "x")
			}
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			publish(t, b, "allowed/1", "x")
			began := time.Now()
			if err := b.Stop(within(t, patience)); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > patience/2 {
				t.Errorf("Stop took %v", took)
			}
			if out.count("the broker refuses the remaining entries: 10 keys wait, the first for mqtt: publish") != 1 {
				t.Error("the log does not say what is left")
			}
		})
	}
}

// The limits are checked with everything else.
func TestOutboxConfigIsChecked(t *testing.T) {
	t.Parallel()
	for want, opt := range map[string]mqttbroker.OutboxOption{
		"refused limit of -1ns, 0 refused attempts":                         mqttbroker.OutboxRefusedLimit(-1, 0),
		`outbox.unrouted.Save: want an operation`:                           mqttbroker.OutboxConfig(&v1.Outbox{Unrouted: map[string]*v1.Unrouted{"Save": {}}}),
		`outbox.unrouted./p.S/M.policy: is not known, want accept or retry`: mqttbroker.OutboxConfig(&v1.Outbox{Unrouted: map[string]*v1.Unrouted{"/p.S/M": {Policy: "keep"}}}),
		`outbox.unrouted./p.S/M.max_age: is -1s, want 0s or more`:           mqttbroker.OutboxConfig(&v1.Outbox{Unrouted: map[string]*v1.Unrouted{"/p.S/M": {Policy: "retry", MaxAge: durationpb.New(-time.Second)}}}),
		"outbox.refused_limit: is 0s, want more":                            mqttbroker.OutboxConfig(&v1.Outbox{RefusedLimit: durationpb.New(0)}),
		"outbox.refused_limit: is -1s, want 0s or more":                     mqttbroker.OutboxConfig(&v1.Outbox{RefusedLimit: durationpb.New(-time.Second)}),
	} {
		err := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithOutbox(memory(t, 0), opt)).Init()
		wantReason(t, err, event.ReasonBadRequest, 400)
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	store := memory(t, 0)
	b := open(t, "mqtt://127.0.0.1:1", mqttbroker.WithOutbox(store, mqttbroker.OutboxConfig(&v1.Outbox{Unrouted: map[string]*v1.Unrouted{
		"/p.S/M": {Policy: "retry", MaxAge: durationpb.New(time.Minute)},
	}})))
	method := &event.MethodDesc{Name: "M", Operation: "/p.S/M", QoS: 1, Codec: "proto"}
	if err := mqttbroker.NewClientConn(b).Publish(t.Context(), method, "a", newString("x")); err != nil {
		t.Fatal(err)
	}
	if list, err := store.Read(t.Context(), 0, 1); err != nil || len(list) != 1 || list[0].RetryUnrouted != time.Minute {
		t.Errorf("kept %+v, %v", list, err)
	}
}

// A message that ends every connection is put aside. All others arrive, after few
// reconnects.
func TestOutboxQuarantinesWhatEndsConnections(t *testing.T) {
	t.Parallel()
	bothProtocols(t, func(t *testing.T, protocol string) {
		const n = 200
		server := mqtttest.InProcess(t, broker.WithFaults(broker.Fault{
			Type: broker.Publish, Filter: broker.Topic("poison"), Do: broker.CutBefore(),
		}))
		got := subscribe(t, connected(t, server.URL(), mqttbroker.WithProtocol(protocol)), "good/#")
		spy, store := new(outboxSpy), memory(t, 0)
		b, out := logged(t, server.URL(), mqttbroker.WithProtocol(protocol), mqttbroker.WithClientId("pub"), mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
		for i := range n {
			publish(t, b, fmt.Sprintf("good/%d", i%50), fmt.Sprint(i))
			if i == n/2 {
				publish(t, b, "poison", "x")
			}
		}
		if err := b.Connect(); err != nil {
			t.Fatal(err)
		}
		missing := make(map[string]bool)
		for i := range n {
			missing[fmt.Sprint(i)] = true
		}
		for len(missing) > 0 {
			delete(missing, strings.Trim(receive(t, got).body, `"`))
		}
		wantDepth(t, store, 0)
		if h := b.Health().Outbox; h.Quarantined != 1 {
			t.Errorf("%d quarantined, want 1", h.Quarantined)
		}
		told := spy.want(t, event.OutboxQuarantined, 1)
		if told[0].Topic != "poison" {
			t.Fatalf("hook was told %+v", told)
		}
		if e := wantReason(t, told[0].Err, event.ReasonRefused, 502); !e.Convicted {
			t.Errorf("not convicted: %v", e)
		}
		// Six lost connections convict a message. A reset discards acknowledgements
		// that were not read yet, so that messages before it are tried again.
		if lost := out.count("mqtt: connection lost"); lost > 20 {
			t.Errorf("%d connections lost for one message", lost)
		}
	})
}

// A message that waits only because earlier messages ended connections has not been
// tried. It stays in the outbox, like a message that the broker refuses, and is sent
// later.
func TestOutboxKeepsWhatIsHeldBack(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t, broker.WithFaults(broker.Fault{
		Type: broker.Publish, Filter: broker.Topic("poison"), Do: broker.End(0),
	}))
	spy, store := new(outboxSpy), memory(t, 0)
	b, _ := logged(t, server.URL(), mqttbroker.WithProtocol("3.1.1"), mqttbroker.WithClientId("pub"), mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	aside := func(n int) func() error {
		return func() error {
			if h := b.Health().Outbox; h.Quarantined != n {
				return fmt.Errorf("%d quarantined, want %d", h.Quarantined, n)
			}
			return nil
		}
	}
	for n := range 2 {
		publish(t, b, "poison", "x")
		mqtttest.Eventually(t, patience, aside(n+1))
	}
	publish(t, b, "poison", "x")
	mqtttest.Eventually(t, patience, func() bool { return len(spy.of(event.OutboxRefused)) > 0 })
	if e := wantReason(t, spy.of(event.OutboxRefused)[0].Err, event.ReasonRefused, 502); e.RetryAfter <= 0 || !e.Convicted || e.MayHaveBeenSent {
		t.Errorf("%+v", e)
	}
	mqtttest.Eventually(t, patience, aside(3))
}
