package e2e

import (
	"math/rand/v2"
	"testing"
	"time"
)

// kills is how many processes the kill tests kill in total, half of them collectors.
func kills() int { return number("E2E_KILLS", 52) }

const (
	// quiet is the shortest time that a process lives after it has answered.
	quiet = 20 * time.Millisecond
	// lifetime is the longest additional time.
	lifetime = 250 * time.Millisecond
)

// A saver that is killed during handlers, transactions and acknowledgements receives everything again,
// and stores nothing twice.
func TestFault_20_SaverKilled(t *testing.T) {
	t.Parallel()
	eachProtocol(t, func(t *testing.T, p *pair, l *load, n int) {
		for range n {
			live(t)
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
			live(t)
			p.collector.kill(t)
			p.collector = p.startCollector()
			l.base.Store(&p.collector.base)
		}
	})
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
			if accepted, _ := l.count(); accepted < 10*n {
				t.Errorf("%d reports accepted over %d kills: this test proves too little", accepted, n)
			}
			l.wantRows(t, p.table)
		})
	}
}

// live waits for a random time before the process is killed.
func live(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(quiet + rand.N(lifetime)):
	case <-t.Context().Done():
	}
}
