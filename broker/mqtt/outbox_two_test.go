package mqtt_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/tx7do/kratos-transport/broker"

	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxfile"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// Two brokers of one process that share one store send each message once: one of them
// stands by, reports that, and takes over when the other stops.
func TestOutboxOfTwoBrokers(t *testing.T) {
	t.Parallel()
	stores := map[string]func(t *testing.T) outbox.Store{
		"memory": func(t *testing.T) outbox.Store { t.Helper(); return memory(t, 0) },
		"file": func(t *testing.T) outbox.Store {
			t.Helper()
			s, err := outboxfile.Open(filepath.Join(t.TempDir(), "outbox"), outboxfile.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			return s
		},
	}
	for name, open := range stores {
		for _, numbered := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " numbered ", numbered), func(t *testing.T) {
				t.Parallel()
				testOutboxOfTwoBrokers(t, open(t), mqttbroker.WithSequence(numbered))
			})
		}
	}
}

func testOutboxOfTwoBrokers(t *testing.T, store outbox.Store, opt broker.Option) {
	t.Helper()
	const each = 50
	b := mqtttest.InProcess(t)
	ear := connected(t, b.URL())
	got := subscribe(t, ear, "two/#")
	first, log1 := logged(t, b.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store), opt)
	second, log2 := logged(t, b.URL(), mqttbroker.WithProtocol("5"), mqttbroker.WithOutbox(store), opt)
	for _, m := range []*mqttbroker.Broker{first, second} {
		if err := m.Connect(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range each {
		publish(t, first, "two/first", i)
		publish(t, second, "two/second", i)
	}
	arrived := map[string]int{}
	collect := func(want int) {
		t.Helper()
		for len(arrived) < want {
			m := receive(t, got)
			arrived[m.topic+" "+m.body]++
		}
		wantDepth(t, store, 0)
	}
	collect(2 * each)
	if err := first.Disconnect(); err != nil {
		t.Fatal(err)
	}
	publish(t, second, "two/later", "x")
	collect(2*each + 1)
	publish(t, ear, "two/end", "x")
	for m := receive(t, got); m.topic != "two/end"; m = receive(t, got) {
		arrived[m.topic+" "+m.body]++
	}
	for what, n := range arrived {
		if n != 1 {
			t.Errorf("%s arrived %d times", what, n)
		}
	}
	const told = "another Broker or Server of this process"
	if n := log1.count(told) + log2.count(told); n != 1 {
		t.Errorf("logged %d times", n)
	}
}
