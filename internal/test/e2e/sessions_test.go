package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// rounds is how often the broker of a test comes back without its sessions.
func rounds() int { return number("E2E_ROUNDS", 3) }

// away is how many reports are posted in each round before the broker is back.
const away = 100

// restarted is a broker that a test stops and starts.
type restarted interface {
	URL() string
	Stop()
	Start()
}

// reports.md A1: nothing is sent to a broker that restarts without its sessions before this process
// has subscribed there again. Everything that was accepted meanwhile is stored.
func TestFault_62_BackWithoutSessions(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			comesBack(t, mqtttest.Mosquitto(t, mqtttest.WithConfig("persistence false")), protocol, rounds())
		})
	}
}

// The same with a broker that stores nothing at all.
func TestFault_62_AedesBackWithoutSessions(t *testing.T) {
	t.Parallel()
	comesBack(t, mqtttest.Aedes(t), "3.1.1", rounds())
}

// ejabberd keeps its sessions in memory, and speaks both versions.
func TestFault_62_EjabberdBackWithoutSessions(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			comesBack(t, mqtttest.Ejabberd(t), protocol, number("E2E_ROUNDS", 1)) // one takes some seconds
		})
	}
}

// comesBack runs the rounds with one service.
func comesBack(t *testing.T, b restarted, protocol string, rounds int) {
	t.Helper()
	db := sqliteStore(t)
	s := start(t, "config.yaml", append(db.env, "KM_MQTT_BROKER="+b.URL(), "KM_MQTT_PROTOCOL="+protocol)...)
	awaitReady(t, s)
	l, tab := newLoad(t, s.base), db.open(t)
	for range rounds {
		l.postAll(t, away, nil)
		l.wantRows(t, tab)
		b.Stop()
		l.postAll(t, away, nil)
		awaitRefused(t, b)
		stop := l.keepPosting(t, 2, 5*time.Millisecond)
		waiting, _ := l.count()
		b.Start()
		mqtttest.Eventually(t, time.Minute, func() error {
			counts, err := tab.numbers()
			if err == nil && len(counts) < waiting {
				err = fmt.Errorf("%d rows of %d accepted reports", len(counts), waiting)
			}
			return err
		})
		stop()
		l.wantRows(t, tab)
		if t.Failed() {
			return
		}
	}
}

// awaitRefused waits until both connections of the service have failed to connect: a broker that
// drops and accepts connections at once may have another reason. It listens in place of the stopped
// broker and answers nothing; the log reports an outage once.
func awaitRefused(t *testing.T, b restarted) {
	t.Helper()
	address, err := url.Parse(b.URL())
	if err != nil {
		t.Fatal(err)
	}
	lis, err := net.Listen("tcp", address.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lis.Close() }()
	if err := lis.(*net.TCPListener).SetDeadline(time.Now().Add(startTimeout)); err != nil {
		t.Fatal(err)
	}
	for missing := map[string]bool{"report-service": true, "report-service-pub": true}; len(missing) > 0; {
		c, err := lis.Accept()
		if err != nil {
			t.Fatalf("not seen: %v: %v", missing, err)
		}
		delete(missing, clientIDOf(c))
		_ = c.Close()
	}
}

// clientIDOf returns the client id of a CONNECT packet, which begins with its length in two bytes,
// or "" for any other packet.
func clientIDOf(c net.Conn) string {
	_ = c.SetReadDeadline(time.Now().Add(startTimeout))
	packet := make([]byte, 512)
	n, err := c.Read(packet)
	if err != nil {
		return ""
	}
	for _, id := range []string{"report-service-pub", "report-service"} {
		if bytes.Contains(packet[:n], append([]byte{0, byte(len(id))}, id...)) {
			return id
		}
	}
	return ""
}

// Messages that a broker without persistence had acknowledged and not delivered when it was stopped
// under load are lost. They are counted and named, exactly unless the log left out lines about gaps.
func TestBrokerStoppedUnderLoad(t *testing.T) {
	t.Parallel()
	b, db := mqtttest.Mosquitto(t, mqtttest.WithConfig("persistence false")), sqliteStore(t)
	config := changed(t, "config.yaml", "mqtt:\n  connection:", "mqtt:\n  publisher: {sequence: true}\n  connection:")
	proxy := mqtttest.NewProxy(t, b.URL())
	s := start(t, config, append(db.env, "KM_MQTT_BROKER="+proxy.URL(), "KM_MQTT_PROTOCOL=5")...)
	awaitReady(t, s)
	l, tab := newLoad(t, s.base), db.open(t)
	l.postAll(t, away, nil)
	unlock := tab.lock(t) // the saver blocks, and messages wait at the broker
	before := proxy.Counts().Passed(mqtttest.ToClient, mqtttest.TypePuback)
	stop := l.keepPosting(t, 2*clients, time.Millisecond)
	mqtttest.Eventually(t, startTimeout, func() bool {
		return proxy.Counts().Passed(mqtttest.ToClient, mqtttest.TypePuback) >= before+window+5*away
	})
	b.Stop()
	unlock()
	b.Start()
	stop()
	if err := l.postOne(t.Context()); err != nil { // behind all others of its topic
		t.Fatal(err)
	}
	last, accepted := int(l.next.Load()), len(l.accepted)
	mqtttest.Eventually(t, time.Minute, func() error {
		counts, err := tab.numbers()
		if err != nil {
			return err
		}
		lost := accepted - len(counts)
		named, lines := missingIn(s.output.String())
		if counts[last] == 0 || named < lost || named > lost && lines < gapLines {
			return fmt.Errorf("last one is there: %t; %d of %d accepted reports are no row, %d are named", counts[last] > 0, lost, accepted, named)
		}
		return nil
	})
	named, lines := missingIn(s.output.String())
	t.Logf("%d of %d accepted reports were lost with the broker, as %d lines say", named, accepted, lines)
	if named == 0 {
		t.Error("nothing was lost: this proves nothing")
	}
	if !regexp.MustCompile(`the broker lost the session: .*messaging\.client\.id=report-service `).MatchString(s.output.String()) {
		t.Error("the lost session is not in the log")
	}
}

// window is how many unacknowledged messages a broker sends to the saver.
const window = 1024

// lock prevents all writes to the database until unlock is called.
func (tab table) lock(t testing.TB) (unlock func()) {
	t.Helper()
	conn, err := tab.db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	return func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		if err := errors.Join(err, conn.Close()); err != nil {
			t.Error(err)
		}
	}
}

var (
	missingLine = regexp.MustCompile(`msg=mqtt: messages are missing .*messaging\.destination\.name=reports/event .*kratosmqtt\.count=(\d+)`)
	lateLine    = regexp.MustCompile(`msg=mqtt: a missing message was late, and is not missing any more .*messaging\.destination\.name=reports/event `)
)

// gapLines is the largest number of lines about the gaps of one sender within a minute.
const gapLines = 30

// missingIn returns how many messages a log reports missing in total, and in how many lines.
func missingIn(output string) (n, lines int) {
	matches, late := missingLine.FindAllStringSubmatch(output, -1), len(lateLine.FindAllString(output, -1))
	for _, match := range matches {
		missing, err := strconv.Atoi(match[1])
		if err == nil {
			n += missing
		}
	}
	return n - late, len(matches) + late
}

// reports.md A2: a collector whose saver has no session keeps its reports, because the MQTT 5 broker
// reports that nobody subscribes.
func TestReportsWaitForASaver(t *testing.T) {
	t.Parallel()
	b, db := mqtttest.Mosquitto(t, mqtttest.WithConfig("persistence false")), sqliteStore(t)
	env := []string{"KM_MQTT_BROKER=" + b.URL(), "KM_MQTT_PROTOCOL=5"}
	collector := start(t, "collector.yaml", env...)
	l := newLoad(t, collector.base)
	l.postAll(t, away, nil)
	saver := start(t, "saver.yaml", append(db.env, env...)...)
	l.wantRows(t, db.open(t))
	saver.stop(t)
	b.Stop()
	b.Start() // without the saver's session
	l.postAll(t, away, nil)
	start(t, "saver.yaml", append(db.env, env...)...)
	l.wantRows(t, db.open(t))
}
