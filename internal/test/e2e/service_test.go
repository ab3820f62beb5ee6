package e2e

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

const (
	reports = 3000
	clients = 16
)

func TestAllInOne(t *testing.T) {
	t.Parallel()
	db := sqliteStore(t)
	s := start(t, "config.yaml", db.env...)
	l := newLoad(t, s.base)
	l.postAll(t, reports, nil)
	l.wantRows(t, db.open(t))
	s.stop(t)
}

func TestInterruptIsSuccess(t *testing.T) {
	t.Parallel()
	db, _ := database(t)
	s := start(t, "config.yaml", db)
	s.signal(t, syscall.SIGINT)
}

// TestFirstReport posts as soon as HTTP answers: a report that is sent before the subscription is
// granted would be lost.
func TestFirstReport(t *testing.T) {
	t.Parallel()
	starts := number("E2E_STARTS", 20)
	for n := range starts {
		driver := []string{"file", "sql", "memory", "none"}[n%4] // without an outbox the report waits in its request
		db := sqliteStore(t)
		s := start(t, "config.yaml", append(db.env, "KM_OUTBOX="+driver)...)
		l := newLoad(t, s.base)
		if err := l.postOne(t.Context()); err != nil {
			t.Fatalf("start %d, outbox %s: %v", n, driver, err)
		}
		l.wantRows(t, db.open(t))
		s.stop(t)
	}
	t.Logf("first report stored in %d of %d starts", starts, starts)
}

// pair is a collector and a saver around Mosquitto.
type pair struct {
	broker           *mqtttest.MosquittoBroker
	collector, saver *service
	table            table

	startCollector, startSaver func() *service
}

// split starts a pair with a database and the given configurations.
func split(t testing.TB, db store, collector, saver string) *pair {
	t.Helper()
	p := &pair{broker: mqtttest.Mosquitto(t)}
	url, box := "KM_MQTT_BROKER="+p.broker.URL(), outbox(t)
	p.startSaver = func() *service { return start(t, saver, append(db.env, url)...) }
	p.startCollector = func() *service { return start(t, collector, url, box) }
	p.saver = p.startSaver() // first, so that its session exists
	awaitReady(t, p.saver)
	p.collector = p.startCollector()
	p.table = db.open(t)
	return p
}

// awaitReady waits for the log line that reports the saver's filters as granted.
func awaitReady(t testing.TB, s *service) {
	t.Helper()
	mqtttest.Eventually(t, startTimeout, func() bool { return contains(s.output.String(), "topic filters granted") })
}

func TestSplit(t *testing.T) {
	t.Parallel()
	p := split(t, sqliteStore(t), "collector.yaml", "saver.yaml")
	l := newLoad(t, p.collector.base)
	l.postAll(t, reports, nil)
	l.wantRows(t, p.table)
	p.collector.stop(t)
	p.saver.stop(t)
}

// With PostgreSQL a saver that is killed stores nothing twice either, and neither its banner nor its
// log shows the password.
func TestPostgres(t *testing.T) {
	t.Parallel()
	const secret = "planted-password"
	p := split(t, postgresStore(t, secret), "collector.yaml", "saver.yaml")
	l := newLoad(t, p.collector.base)
	l.postAll(t, reports, func() {
		p.saver.kill(t)
		logged(t, p.saver, secret)
		p.saver = p.startSaver()
	})
	l.wantRows(t, p.table)
	wantListed(t, p.saver.base+"/v1/reports", `"nextPageToken"`)
	p.saver.stop(t)
	logged(t, p.saver, secret)
}

func logged(t *testing.T, s *service, secret string) {
	t.Helper()
	if text := s.output.String(); contains(text, secret) || !contains(text, "postgres://") {
		t.Errorf("want the address without the password:\n%s", text)
	}
}

// While the broker is down every report is accepted, and it is delivered afterwards.
func TestBrokerDown(t *testing.T) {
	t.Parallel()
	p := split(t, sqliteStore(t), "collector.yaml", "saver.yaml")
	l := newLoad(t, p.collector.base)
	l.postAll(t, reports, p.broker.Stop)
	before, err := p.table.numbers()
	if err != nil || len(before) == reports {
		t.Fatalf("%d rows while the broker is down, %v: this test proves nothing", len(before), err)
	}
	p.broker.Start()
	l.wantRows(t, p.table)
}

// Clients that post do not notice a broker that stops and starts under load.
func TestBrokerRestarted(t *testing.T) {
	t.Parallel()
	p := split(t, sqliteStore(t), "collector.yaml", "saver.yaml")
	l := newLoad(t, p.collector.base)
	l.postAll(t, reports, func() {
		p.broker.Stop()
		p.broker.Start()
	})
	l.wantRows(t, p.table)
}

// Reports that a stopped collector had accepted and not sent are sent by the next one.
func TestStopKeepsTheOutbox(t *testing.T) {
	t.Parallel()
	p := split(t, sqliteStore(t), "collector.yaml", "saver.yaml")
	l := newLoad(t, p.collector.base)
	p.broker.Stop()
	l.postAll(t, 100, nil)
	p.collector.stop(t)
	if !contains(p.collector.output.String(), "left: 100 messages in the outbox") {
		t.Errorf("the log does not say what is left:\n%s", p.collector.output)
	}
	p.broker.Start()
	p.startCollector()
	l.wantRows(t, p.table)
}

// A collector with a full outbox refuses with 503 and Retry-After, and does not store what it
// refuses.
func TestOutboxFull(t *testing.T) {
	t.Parallel()
	const bound = 10
	p := split(t, sqliteStore(t), changed(t, "collector.yaml", "max_entries: 1000000", "max_entries: "+strconv.Itoa(bound)), "saver.yaml")
	l := newLoad(t, p.collector.base)
	p.broker.Stop()
	l.postAll(t, bound, nil)
	refused := &statusError{}
	if err := l.postOne(t.Context()); !errors.As(err, &refused) {
		t.Fatalf("got %v beyond the bound", err)
	}
	if refused.code != 503 || refused.retryAfter != "1" || !strings.Contains(refused.text, "OUTBOX_FULL") {
		t.Errorf("got %v, Retry-After %q", refused, refused.retryAfter)
	}
	p.broker.Start()
	mqtttest.Eventually(t, startTimeout, func() error { return l.postOne(t.Context()) })
	l.wantRows(t, p.table)
	if counts, err := p.table.numbers(); err != nil || counts[bound+1] != 0 {
		t.Errorf("the refused report is a row: %v, %v", counts, err)
	}
}

func number(name string, standard int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
		return n
	}
	return standard
}
