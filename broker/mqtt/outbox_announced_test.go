package mqtt_test

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
)

// announcing makes the broker send these MQTT 5 properties, in wire form, as the only
// ones in its CONNACKs.
func announcing(properties ...byte) testbroker.Fault {
	return testbroker.Fault{Direction: testbroker.ToClient, Type: testbroker.Connack, Do: testbroker.Rewrite(func(p testbroker.Packet) [][]byte {
		body := append([]byte{p.Body[0], 0, byte(len(properties))}, properties...)
		return [][]byte{append([]byte{0x20, byte(len(body))}, body...)}
	})}
}

// The properties of CONNACK that set limits.
func maximumPacket(n uint32) []byte { return binary.BigEndian.AppendUint32([]byte{0x27}, n) }

var (
	maximumQoS0 = []byte{0x24, 0}
	noRetain    = []byte{0x25, 0}
)

// Limits that a broker announces apply to the connection, so messages that exceed them
// are not put aside. Before, one CONNACK put the whole accepted backlog aside.
func TestOutboxAnnouncedLimitQuarantinesNothing(t *testing.T) {
	t.Parallel()
	for name, announced := range map[string][]byte{
		"maximum packet size": maximumPacket(30), "maximum QoS": maximumQoS0, "retain available": noRetain,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 100
			server := mqtttest.InProcess(t)
			less := server.Inject(announcing(announced...))
			spy, store := new(outboxSpy), memory(t, 0)
			b, out := logged(t, server.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
			for i := range n {
				publish(t, b, fmt.Sprintf("s1/%d", i), strings.Repeat("x", 30), mqttbroker.WithPublishRetained(true))
			}
			if err := b.Connect(); err != nil {
				t.Fatal(err)
			}
			mqtttest.Eventually(t, patience, func() error {
				if h := b.Health().Outbox; h.ClosedKeys+h.Quarantined != n {
					return fmt.Errorf("%+v", h)
				}
				return nil
			})
			h := b.Health().Outbox
			if h.Quarantined != 0 || h.Depth != n {
				t.Fatalf("%d quarantined, %d wait, want 0 and %d", h.Quarantined, h.Depth, n)
			}
			e, ok := h.RefusedError.(*event.Error)
			if !ok || !e.ByBroker || e.MayHaveBeenSent {
				t.Errorf("health says %#v", h.RefusedError)
			}
			if told := spy.want(t, event.OutboxRefused, 1); told[0].Err == nil {
				t.Errorf("hook was told %+v", told)
			}
			if n := out.count("the broker refuses a message"); n != 1 {
				t.Errorf("logged %d times", n)
			}
			less.Remove()
			server.Cut()
			wantDepth(t, store, 0)
			if kept := len(server.Retained()); kept != n || b.Health().Outbox.Quarantined != 0 {
				t.Errorf("the broker got %d of %d, %d are quarantined", kept, n, b.Health().Outbox.Quarantined)
			}
		})
	}
}

// Only messages over the limit wait.
func TestOutboxOtherKeysGoOn(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t, testbroker.WithFaults(announcing(maximumPacket(200)...)))
	store := memory(t, 0)
	b := connected(t, server.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store))
	publish(t, b, "s1/large", strings.Repeat("x", 300))
	for i := range 50 {
		publish(t, b, fmt.Sprintf("s1/%d", i), "x", mqttbroker.WithPublishRetained(true))
	}
	wantDepth(t, store, 1)
	if n := len(server.Retained()); n != 50 {
		t.Errorf("%d of 50 were sent", n)
	}
	if h := b.Health().Outbox; h.ClosedKeys != 1 || h.Quarantined != 0 {
		t.Errorf("%+v", h)
	}
}

// A PUBACK with a reason code about the message is the broker's verdict, too. With a
// limit on refusals, a message that is refused for longer is put aside.
func TestOutboxVerdictOfThisBroker(t *testing.T) {
	t.Parallel()
	const badTopic, tooLarge = 0x90, 0x95
	for _, code := range []byte{badTopic, tooLarge} {
		url, got := publishFails(t, code)
		store := memory(t, 0)
		b := connected(t, url, mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store))
		publish(t, b, "s1", "x")
		first := receive(t, got)
		if again := receive(t, got); again != first {
			t.Errorf("%#x: first %q, then %q", code, first, again)
		}
		wantDepth(t, store, 0)
		if h := b.Health().Outbox; h.Quarantined != 0 {
			t.Errorf("%#x: %d quarantined", code, h.Quarantined)
		}
	}
}

// The addresses of a list may announce different limits: a message that one address
// does not accept is sent to another, and the client does not alternate between them.
func TestOutboxOtherAddressTakesIt(t *testing.T) {
	t.Parallel()
	const n = 20
	small := mqtttest.InProcess(t, testbroker.WithFaults(announcing(noRetain...)))
	large := mqtttest.InProcess(t)
	store, spy := memory(t, 0), new(lossSpy)
	b, _ := logged(t, small.URL(), broker.WithAddress(small.URL(), large.URL()), mqttbroker.WithProtocol("5"),
		mqttbroker.WithOutbox(store), mqttbroker.WithHooks(spy))
	for i := range n {
		publish(t, b, fmt.Sprintf("s1/%d", i), "x", mqttbroker.WithPublishRetained(true))
	}
	if err := b.Connect(); err != nil {
		t.Fatal(err)
	}
	wantDepth(t, store, 0)
	if kept := len(large.Retained()); kept != n || len(small.Retained()) != 0 {
		t.Errorf("the other address got %d of %d", kept, n)
	}
	if l := spy.all(); len(l) != 1 || l[0].Kind != event.LossLimits {
		t.Errorf("connections ended: %+v", l)
	}
}

// Errors of direct publishes also report whose limit was exceeded.
func TestPublishSaysWhoseLimitItIs(t *testing.T) {
	t.Parallel()
	server := mqtttest.InProcess(t, testbroker.WithFaults(announcing(maximumPacket(100)...)))
	b := connected(t, server.URL(), mqttbroker.WithProtocol("5"))
	for size, byBroker := range map[int]bool{200: true, 257 << 10: false} {
		err := b.Publish(t.Context(), "s1", broker.NewMessage(strings.Repeat("x", size)))
		if e := wantReason(t, err, event.ReasonTooLarge, 413); e.ByBroker != byBroker {
			t.Errorf("%d bytes: by the broker is %v", size, e.ByBroker)
		}
	}
}
