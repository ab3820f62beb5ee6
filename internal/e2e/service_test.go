package e2e

import (
	"os"
	"strconv"
	"syscall"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const (
	reports = 5000
	clients = 16
)

func TestAllInOne(t *testing.T) {
	t.Parallel()
	s := start(t, "config.yaml", database(t))
	a := postAll(t, s.base, reports, clients, false, nil)
	wantRows(t, s.base, a, true)
	s.stop(t)
}

func TestInterruptIsSuccess(t *testing.T) {
	t.Parallel()
	s := start(t, "config.yaml", database(t))
	s.signal(t, syscall.SIGINT)
}

// TestFirstReport posts as soon as HTTP answers: a report that is accepted
// before the subscription is granted would reach nobody.
func TestFirstReport(t *testing.T) {
	t.Parallel()
	starts := number("E2E_STARTS", 20)
	c := client(t)
	for n := range starts {
		s := start(t, "config.yaml", database(t))
		id, err := post(c, s.base, n)
		if err != nil {
			t.Fatalf("start %d: %v", n, err)
		}
		a := &accepted{}
		a.add(id)
		wantRows(t, s.base, a, true)
		s.stop(t)
	}
	t.Logf("first report stored in %d of %d starts", starts, starts)
}

// split starts collector and saver as two processes around Mosquitto.
func split(t *testing.T, broker string) (collector, saver *service, savers func() *service) {
	t.Helper()
	url, db := "KM_MQTT_BROKER="+broker, database(t)
	savers = func() *service { return start(t, "saver.yaml", url, db) }
	saver = savers() // first, so that its session exists
	awaitReady(t, saver)
	return start(t, "collector.yaml", url), saver, savers
}

// awaitReady waits until the saver's filters are granted: it logs that.
func awaitReady(t *testing.T, s *service) {
	t.Helper()
	mqtttest.Eventually(t, startTimeout, func() bool { return contains(s.output.String(), "topic filters granted") })
}

func TestSplit(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	collector, saver, _ := split(t, b.URL())
	a := postAll(t, collector.base, reports, clients, false, nil)
	wantRows(t, saver.base, a, true)
	collector.stop(t)
	saver.stop(t)
}

func TestSaverKilled(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	collector, saver, again := split(t, b.URL())
	half := make(chan struct{})
	restarted := make(chan *service, 1)
	go func() {
		<-half
		saver.kill(t)
		restarted <- again()
	}()
	a := postAll(t, collector.base, reports, clients, false, half)
	wantRows(t, (<-restarted).base, a, true)
}

func TestBrokerRestarted(t *testing.T) {
	t.Parallel()
	b := mqtttest.Mosquitto(t)
	collector, saver, _ := split(t, b.URL())
	half := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		<-half
		b.Stop()
		b.Start()
	}()
	a := postAll(t, collector.base, reports, clients, true, half)
	<-done
	wantRows(t, saver.base, a, false)
}

func number(name string, standard int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return standard
}
