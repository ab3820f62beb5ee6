package e2e

import (
	"fmt"
	"strings"
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

// reports.md A1: a broker that comes back without its sessions is sent nothing
// before this process has subscribed there again. Everything that was accepted
// while it was away, and until all of that was sent, becomes a row.
func TestBrokerBackWithoutSessions(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"3.1.1", "5"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			comesBack(t, mqtttest.Mosquitto(t, mqtttest.WithConfig("persistence false")), protocol, rounds())
		})
	}
}

// The same with a broker that keeps nothing at all.
func TestAedesBackWithoutSessions(t *testing.T) {
	t.Parallel()
	comesBack(t, mqtttest.Aedes(t), "3.1.1", rounds())
}

// ejabberd keeps its sessions in memory, and speaks both versions.
func TestEjabberdBackWithoutSessions(t *testing.T) {
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
		awaitRefused(t, s)
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

// awaitRefused waits until both connections of the service have found the broker
// away: a broker that ends connections and takes them at once may have another
// reason.
func awaitRefused(t *testing.T, s *service) {
	t.Helper()
	before := s.output.String()
	mqtttest.Eventually(t, startTimeout, func() bool {
		now := s.output.String()
		for _, id := range []string{`as "report-service",`, `as "report-service-pub",`} {
			if refusals(now, id) == refusals(before, id) {
				return false
			}
		}
		return true
	})
}

func refusals(output, id string) (n int) {
	for line := range strings.Lines(output) {
		if contains(line, "cannot connect to") && contains(line, id) {
			n++
		}
	}
	return n
}
