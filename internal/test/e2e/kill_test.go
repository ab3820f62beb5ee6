package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tx7do/kratos-transport/broker"

	devicev1 "github.com/kratos-mqtt/kratos-mqtt/api/device/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// kills is how many processes the kill tests kill in total, half of them collectors.
func kills() int { return number("E2E_KILLS", 52) }

const (
	// quiet is the shortest time that a process lives after it has answered.
	quiet = 20 * time.Millisecond
	// lifetime is the longest additional time, unless fewer than enough posts were accepted by then.
	lifetime = 250 * time.Millisecond
	enough   = 10
)

// A saver that is killed during handlers, transactions and acknowledgements receives everything again,
// and stores nothing twice.
func TestFault_20_SaverKilled(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p *pair, l *load, n int) {
		for range n {
			live(t, l)
			p.saver.kill(t)
			p.saver = p.startSaver()
		}
		if _, failed := l.count(); failed > 0 {
			t.Errorf("%d reports were not accepted, the last because of %v", failed, l.lastErr)
		}
	})
}

// A collector is killed with reports in its outbox, in flight, and just acknowledged.
// The next one sends again all reports without a known acknowledgement.
func TestFault_21_CollectorKilled(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p *pair, l *load, n int) {
		for range n {
			live(t, l)
			p.collector.kill(t)
			p.collector = p.startCollector()
			l.base.Store(&p.collector.base)
		}
	})
}

// A collector is killed with commands of QoS 2 in its outbox and in flight. The next one sends
// again all commands without a known PUBCOMP: none is lost, and one may arrive twice.
func TestFault_21_CollectorKilledAtQoS2(t *testing.T) {
	t.Parallel()
	for protocol, id := range map[string]string{"3.1.1": "collector", "5": ""} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := mqtttest.Mosquitto(t)
			arrived := watchCommands(t, b.URL())
			env := []string{outbox(t), "KM_MQTT_BROKER=" + b.URL(), "KM_MQTT_PROTOCOL=" + protocol, "KM_MQTT_CLIENT_ID=" + id}
			collector := start(t, "collector.yaml", env...)
			l := newLoad(t, collector.base)
			l.request = func(n int) (path string, body map[string]any) {
				return fmt.Sprintf("/v1/devices/d%d/commands", n%8), map[string]any{"name": strconv.Itoa(n)}
			}
			stop := l.keepPosting(t, 8, 5*time.Millisecond)
			n := (kills() + 7) / 8
			for range n {
				live(t, l)
				collector.kill(t)
				collector = start(t, "collector.yaml", env...)
				l.base.Store(&collector.base)
			}
			stop()
			mqtttest.Eventually(t, startTimeout, func() error { return arrived.missing(l.accepted) })
			t.Logf("%d kills, %d commands accepted, %d arrived twice", n, len(l.accepted), arrived.repeated())
		})
	}
}

// commands counts the commands that arrived, by their names.
type commands struct {
	mu     sync.Mutex
	counts map[string]int
}

// watchCommands subscribes to all commands at QoS 2.
func watchCommands(t *testing.T, url string) *commands {
	t.Helper()
	c := &commands{counts: make(map[string]int)}
	b := mqttbroker.NewBroker(broker.WithAddress(url), mqttbroker.WithClientId("devices"), broker.WithCodec("json"))
	_, err := b.Subscribe("devices/+/commands", func(_ context.Context, e broker.Event) error {
		if qos := e.(mqttbroker.Received).QoS(); qos != 2 {
			t.Errorf("a command arrived at QoS %d", qos)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.counts[e.Message().Body.(*devicev1.Command).GetName()]++
		return nil
	}, func() any { return new(devicev1.Command) }, mqttbroker.WithSubscribeQos(2))
	if err == nil {
		err = b.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Disconnect() })
	return c
}

// missing returns an error if accepted commands have not arrived.
func (c *commands) missing(accepted map[int]bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost := 0
	for n := range accepted {
		if c.counts[strconv.Itoa(n)] == 0 {
			lost++
		}
	}
	if lost > 0 {
		return fmt.Errorf("%d of %d accepted commands have not arrived", lost, len(accepted))
	}
	return nil
}

// repeated returns how many commands arrived more than once.
func (c *commands) repeated() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, count := range c.counts {
		if count > 1 {
			n++
		}
	}
	return n
}

// eachProtocol runs kill with its share of the kills under load, on both versions of
// MQTT, and checks that every accepted report is stored as one row.
func eachProtocol(t *testing.T, kill func(t *testing.T, p *pair, l *load, n int)) {
	t.Helper()
	// With the way in which Mosquitto logs them.
	for protocol, logged := range map[string]string{"3.1.1": " as report-saver (p2,", "5": " as report-saver (p5,"} {
		t.Run(protocol, func(t *testing.T) {
			force := []string{"${KM_MQTT_PROTOCOL:}", protocol}
			p := split(t, sqliteStore(t), changed(t, "collector.yaml", force...), changed(t, "saver.yaml", force...))
			if log := p.broker.Log(); !contains(log, logged) {
				t.Fatalf("this is not MQTT %s:\n%s", protocol, log)
			}
			l := newLoad(t, p.collector.base)
			stop := l.keepPosting(t, 8, 5*time.Millisecond)
			began, n := time.Now(), (kills()+3)/4
			kill(t, p, l, n)
			stop()
			t.Logf("%d kills in %v", n, time.Since(began).Round(time.Millisecond))
			l.wantRows(t, p.table)
		})
	}
}

// live waits for a random time before the process is killed, and until it has accepted some posts.
func live(t *testing.T, l *load) {
	t.Helper()
	before, _ := l.count()
	select {
	case <-time.After(quiet + rand.N(lifetime)):
	case <-t.Context().Done():
	}
	mqtttest.Eventually(t, startTimeout, func() bool {
		accepted, _ := l.count()
		return accepted >= before+enough
	})
}
