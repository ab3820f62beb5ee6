package badinput_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	testbroker "github.com/kratos-mqtt/kratos-mqtt/mqtttest/broker"
	mqttserver "github.com/kratos-mqtt/kratos-mqtt/transport/mqtt"
)

// TestHostileBroker: the first address of a list is a broker that ends sessions at some stage,
// sends wrong acknowledgements, or announces that it accepts nothing. The client does not crash,
// uses the other address if the first one is useless, and messages that its outbox has accepted
// arrive at the honest broker, unless the hostile one has acknowledged them correctly, which no
// client can detect. Once the hostile broker is gone, this also holds for clients that had stayed
// with it.
func TestHostileBroker(t *testing.T) {
	t.Parallel()
	rows := make(map[string]liar)
	for _, table := range []map[string]liar{endings(), lies(), announcements()} {
		maps.Copy(rows, table)
	}
	for name, row := range rows {
		for _, version := range []byte{4, 5} {
			if row.only == 0 || row.only == version {
				t.Run(fmt.Sprintf("%s, %d", name, version), func(t *testing.T) {
					t.Parallel()
					meet(t, row, version)
				})
			}
		}
	}
}

const (
	accepted = 60 // messages
	topics   = 6  // that they are published on
)

func meet(t *testing.T, row liar, version byte) {
	t.Helper()
	bad, good := mqtttest.InProcess(t), mqtttest.InProcess(t)
	keep := mqtttest.Raw(t, bad.URL()) // a subscriber that the hostile broker can send to
	keep.Send(mqtttest.ConnectPacket(4, "feeder", true), []byte{0x33, 10, 0, 4, 'i', 'n', '/', '0', 0, 1, '{', '}'})
	keep.Expect(mqtttest.TypeConnack)
	mqtttest.Eventually(t, patience, func() bool { return len(bad.Retained()) == 1 })
	_ = keep.Close() // otherwise Stop waits for it
	at := newLedger(bad, good)
	faults := make([]*testbroker.Injected, len(row.faults))
	for i, f := range row.faults {
		faults[i] = bad.Inject(f)
	}

	store, err := outbox.NewMemory(outbox.MemoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	srv, out := client(t, bad.URL(), version, mqttserver.WithAddress([]string{bad.URL(), good.URL()}),
		mqttserver.WithClientId("app"), mqttserver.WithBrokerOptions(mqttbroker.WithOutbox(store),
			mqttbroker.WithConnectTimeout(time.Second)))
	got := make(chan string, 1000)
	err = mqttserver.RegisterSubscriber(srv, t.Context(), "in/+", func(_ context.Context, topic string, _ broker.Headers, _ *reading) error {
		got <- topic
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range accepted {
		err := srv.Publish(t.Context(), fmt.Sprintf("out/%d", i%topics), broker.NewMessage(reading{float64(i)}), mqttbroker.WithPublishQos(max(1, row.qos)))
		if err != nil {
			t.Fatalf("not accepted: %v", err)
		}
	}
	begin := func() error { return srv.Start(t.Context()) }
	started := begin()
	hit := func() bool {
		return slices.ContainsFunc(faults, func(f *testbroker.Injected) bool { return f.Applied() > 0 })
	}
	mqtttest.Eventually(t, patience, hit, "the broker had no occasion")
	if row.useless {
		handled(t, good, got)
	}
	if row.stays || started != nil {
		mqtttest.Eventually(t, patience, func() bool {
			return slices.ContainsFunc(faults, func(f *testbroker.Injected) bool { return f.Applied() > 2 }) || at.missing() == 0 || started != nil
		}, "the broker had few occasions")
		bad.Stop()
	}
	if started != nil { // a refused subscription is reported, as expected
		if started = begin(); started != nil {
			t.Fatalf("a second start: %v", started)
		}
	}
	mqtttest.Eventually(t, patience, func() error {
		if n := at.missing(); n > 0 {
			return fmt.Errorf("%d of %d accepted messages are nowhere; outbox %+v", n, accepted, srv.Health().Outbox)
		}
		return nil
	})
	if !row.single {
		at.inOrder(t)
	}
	mqtttest.Eventually(t, patience, func() error {
		if h := srv.Health().Outbox; h.Depth > 0 || h.Quarantined > 0 {
			return fmt.Errorf("outbox %+v", h)
		}
		return nil
	})
	bad.Stop()
	handled(t, good, got)
	if text := out.String(); strings.Contains(text, "panic") {
		t.Error("something panicked")
	}
}

// handled checks that a message published at the honest broker is handled.
func handled(t *testing.T, good *mqtttest.InProcessBroker, got <-chan string) {
	t.Helper()
	p := mqtttest.Raw(t, good.URL())
	p.Send(mqtttest.ConnectPacket(4, "sender", true))
	p.Expect(mqtttest.TypeConnack)
	deadline := time.After(patience)
	for tick := time.NewTicker(50 * time.Millisecond); ; {
		p.Send(mqtttest.PublishPacket(4, 0, "in/honest", 0, `{}`))
		select {
		case topic := <-got:
			if topic == "in/honest" {
				tick.Stop()
				return
			}
		case <-tick.C:
		case <-deadline:
			t.Fatal("nothing from the honest broker is handled")
		}
	}
}

// ledger records where each message is.
type ledger struct {
	mu     sync.Mutex
	taken  map[string]bool     // acknowledged by the hostile broker as the standard says
	sent   map[string]string   // payload by client id, connection and packet id, there
	honest map[string][]string // payloads by topic, the first arrival of each
}

func newLedger(bad, good *mqtttest.InProcessBroker) *ledger {
	l := &ledger{taken: make(map[string]bool), sent: make(map[string]string), honest: make(map[string][]string)}
	good.Observe(func(o testbroker.Observed) {
		if o.Direction != testbroker.ToBroker || o.Type() != mqtttest.TypePublish || o.ClientID == "sender" {
			return
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		topic, payload := o.Topic(), string(o.Message())
		if !slices.Contains(l.honest[topic], payload) {
			l.honest[topic] = append(l.honest[topic], payload)
		}
	})
	bad.Observe(func(o testbroker.Observed) {
		l.mu.Lock()
		defer l.mu.Unlock()
		id := fmt.Sprintf("%s %d", o.ClientID, o.ID())
		switch {
		case o.Direction == testbroker.ToBroker && o.Type() == mqtttest.TypePublish && o.QoS() > 0:
			l.sent[id] = string(o.Message())
		case o.Direction == testbroker.ToClient && (o.Type() == mqtttest.TypePuback || o.Type() == mqtttest.TypePubcomp) && o.Fault != "rewrite" && o.Fault != "drop":
			if len(o.Body) < 3 || o.Body[2] < 0x80 {
				l.taken[l.sent[id]] = true
			}
		}
	})
	return l
}

func (l *ledger) missing() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	there := maps.Clone(l.taken)
	for _, list := range l.honest {
		for _, payload := range list {
			there[payload] = true
		}
	}
	n := 0
	for i := range accepted {
		if !there[fmt.Sprintf(`{"celsius":%d}`, i)] {
			n++
		}
	}
	return n
}

// inOrder checks that the messages of each topic arrived in the order of acceptance.
func (l *ledger) inOrder(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for topic, list := range l.honest {
		before := -1
		for _, payload := range list {
			var i int
			if _, err := fmt.Sscanf(payload, `{"celsius":%d}`, &i); err != nil || i < before {
				t.Errorf("%s came as %v", topic, list)
				break
			}
			before = i
		}
	}
}
