package e2e

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/internal/test/postgres"
	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

const (
	usualOutage = 6 * time.Second
	// trialsOfOutage is the length of an outage in pauses of the breaker. The default pause of
	// 5 s has as many in a minute.
	trialsOfOutage = 12
	// maxTries is how many attempts a subscription may make during an outage, in addition to one
	// for each pause of an outage that takes longer.
	maxTries = 20
	// fullRate is within what time after the first success the usual rate is reached again: two
	// seconds, and more on a busy machine. One message in each pause would take longer.
	fullRate = 20 * time.Second
	// slack is for machines with much to do.
	slack = 20 * time.Second
)

// outageTime returns the length of an outage; E2E_OUTAGE sets it.
func outageTime(t *testing.T) time.Duration {
	t.Helper()
	v := os.Getenv("E2E_OUTAGE")
	if v == "" {
		return usualOutage
	}
	d, err := time.ParseDuration(v)
	if err != nil {
		t.Fatalf("E2E_OUTAGE: %v", err)
	}
	return d
}

// ownSessions are the subscriptions that save reports and readings, each with a session of its own.
const ownSessions = "    subscriptions:\n      /report.v1.ReportEvents/SaveEventReport: {session: own}\n      devices/+/data: {session: own}\n"

// outage is a collector and a saver, with a PostgreSQL that can be down, and a constant load of
// reports by HTTP, which the saver stores in batches, and of readings, which it stores one by one.
type outage struct {
	*testing.T
	length  time.Duration
	server  *postgres.Server
	broker  *mqtttest.MosquittoBroker
	saver   *service
	start   func() *service // starts the saver
	tab     table
	reports *load
	sent    *readings
	stop    func() // ends the load
}

// newOutage has the load run, and the breaker make the attempts of a minute in the time of an
// outage. oldnew are further changes of the saver's configuration.
func newOutage(t *testing.T, protocol, subscriber string, oldnew ...string) *outage {
	t.Helper()
	o := &outage{T: t, length: outageTime(t), server: privatePostgres(t), broker: mqtttest.Mosquitto(t)}
	db := postgresOf(t, o.server, "")
	env := []string{"KM_MQTT_BROKER=" + o.broker.URL(), "KM_MQTT_PROTOCOL=" + protocol}
	config := changed(t, "saver.yaml", append(oldnew,
		"    concurrency: 16\n", fmt.Sprintf("    concurrency: 16\n    breaker: {pause: %v}\n%s", o.length/trialsOfOutage, subscriber))...)
	o.start = func() *service { return start(t, config, append(db.env, env...)...) }
	o.saver = o.start()
	awaitReady(t, o.saver)
	collector := start(t, "collector.yaml", env...)
	o.tab = db.open(t)
	o.reports, o.sent = newLoad(t, collector.base), newReadings(t, o.broker)
	posting, sending := o.reports.keepPosting(t, 4, 40*time.Millisecond), o.sent.keepSending(t, 20*time.Millisecond)
	o.stop = func() { posting(); sending() }
	o.pass(time.Second)
	o.until(func() error {
		if n, m := o.rows(); n < 20 || m < 10 {
			return fmt.Errorf("%d reports and %d readings stored", n, m)
		}
		return nil
	})
	return o
}

// privatePostgres returns a server for one test. A commit survives Immediate.
func privatePostgres(t *testing.T) *postgres.Server {
	t.Helper()
	s := postgres.NewServer("synchronous_commit=on")
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func (o *outage) pass(d time.Duration) { <-time.After(d) }

func (o *outage) until(condition func() error) {
	o.Helper()
	mqtttest.Eventually(o, time.Minute, condition)
}

// rows returns how many reports and readings are stored.
func (o *outage) rows() (reports, readings int) {
	o.Helper()
	count := "SELECT (SELECT count(*) FROM realtime_warehousing), (SELECT count(DISTINCT measured_at) FROM telemetry)"
	err := o.tab.db.QueryRow(count).Scan(&reports, &readings)
	if err != nil {
		err = o.tab.db.QueryRow(count).Scan(&reports, &readings) // on a new connection
	}
	if err != nil {
		o.Fatal(err)
	}
	return reports, readings
}

// recovers checks that everything is stored at the usual rate soon after the end of the outage, and
// that nothing is lost.
func (o *outage) recovers() {
	o.Helper()
	began := time.Now()
	reports, readings := o.rows()
	sentReports, _ := o.reports.count()
	backlog := sentReports - reports + o.sent.count() - readings
	var first, rate [2]time.Duration
	o.until(func() error {
		r, d := o.rows()
		for i, n := range []int{r - reports, d - readings} {
			if n > 0 && first[i] == 0 {
				first[i] = time.Since(began)
			}
			if n > 100-50*i && rate[i] == 0 { // those of a second
				rate[i] = time.Since(began) - first[i]
			}
		}
		if rate[0] == 0 || rate[1] == 0 {
			return fmt.Errorf("%d reports and %d readings stored since", r-reports, d-readings)
		}
		return nil
	})
	o.until(func() error {
		r, d := o.rows()
		accepted, _ := o.reports.count()
		if waiting := accepted - r + o.sent.count() - d; waiting > 20 {
			return fmt.Errorf("%d are not stored", waiting)
		}
		return nil
	})
	drained := time.Since(began) - max(first[0], first[1])
	o.Logf("first report stored after %v, reading after %v; then those of a second after %v and %v, the backlog of %d after %v",
		round(first[0]), round(first[1]), round(rate[0]), round(rate[1]), backlog, round(drained))
	if limit := o.length/trialsOfOutage + slack; max(first[0], first[1]) > limit {
		o.Errorf("stored again after %v, want %v", max(first[0], first[1]), limit)
	}
	if max(rate[0], rate[1]) > fullRate {
		o.Errorf("the rate is back after %v, want %v", max(rate[0], rate[1]), fullRate)
	}
	o.nothingLost()
}

// nothingLost ends the load and waits until everything is stored, without dead letters.
func (o *outage) nothingLost() {
	o.Helper()
	o.stop()
	o.reports.wantRows(o, o.tab)
	if o.reports.failed > 0 {
		o.Errorf("%d reports were refused, the last one: %v", o.reports.failed, o.reports.lastErr)
	}
	o.until(func() error {
		if _, stored := o.rows(); stored != o.sent.count() {
			return fmt.Errorf("%d of %d readings stored", stored, o.sent.count())
		}
		return nil
	})
	o.letters(0)
}

// letters checks the number of dead letters and parked messages.
func (o *outage) letters(want int) {
	o.Helper()
	var n int
	var reason sql.NullString
	if err := o.tab.db.QueryRow("SELECT count(*), min(reason) FROM mqtt_dead_letter").Scan(&n, &reason); err != nil {
		o.Fatal(err)
	}
	if n != want {
		o.Errorf("%d dead letters, want %d; one of them: %s", n, want, reason.String)
	}
}

func round(d time.Duration) time.Duration { return d.Round(time.Millisecond) }

var again = regexp.MustCompile(`handles messages again messaging\.destination\.subscription\.name=(\S+)(?: kratosmqtt\.also_waiting=\S+)? kratosmqtt\.attempts=(\d+) kratosmqtt\.duration=(\S+)`)

// tries checks how many attempts each subscription made, by its log, which reports the end of at
// least so many pauses.
func (o *outage) tries(pauses int) {
	o.Helper()
	found := again.FindAllStringSubmatch(o.saver.output.String(), -1)
	if len(found) < pauses {
		o.Errorf("the log reports the end of %d pauses, want %d: %q", len(found), pauses, found)
	}
	for _, m := range found {
		o.Log(m[0])
		n, err := strconv.Atoi(m[2])
		took, wrong := time.ParseDuration(m[3])
		most := max(maxTries, maxTries/2+int(took/(o.length/trialsOfOutage)))
		if err != nil || wrong != nil || n > most {
			o.Errorf("%s: %s attempts in %s, want at most %d", m[1], m[2], m[3], most)
		}
	}
}

// readings sends readings of ten devices, each with its own time.
type readings struct {
	client paho.Client
	mu     sync.Mutex
	sent   int // acknowledged by the broker
}

func newReadings(t *testing.T, b *mqtttest.MosquittoBroker) *readings {
	t.Helper()
	r := &readings{client: connected(t, b, "devices")}
	t.Cleanup(func() { r.client.Disconnect(100) })
	return r
}

func (r *readings) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent
}

func (r *readings) keepSending(t *testing.T, pause time.Duration) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(pause)
		defer tick.Stop()
		for n := 0; ctx.Err() == nil; n++ {
			token := r.client.Publish(fmt.Sprintf("devices/d%d/data", n%10), 1, false, fmt.Sprintf(`{"temperature":20,"timestamp":%d}`, 1778068800+n))
			if !token.WaitTimeout(startTimeout) || token.Error() != nil {
				t.Errorf("reading %d: %v", n, token.Error())
				return
			}
			r.mu.Lock()
			r.sent++
			r.mu.Unlock()
			<-tick.C
		}
	})
	stop = sync.OnceFunc(func() { cancel(); wg.Wait() })
	t.Cleanup(stop)
	return stop
}

// During an outage of the database the subscriptions of the saver wait, and the cause is named within
// five seconds. Afterwards everything is stored, at once and exactly once.
func TestDatabaseOutage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol, sessions string
		how                syscall.Signal
	}{
		{"5", ownSessions, postgres.Fast},
		{"3.1.1", ownSessions, postgres.Immediate},
		{"5", "", postgres.Immediate},
		{"3.1.1", "", postgres.Fast},
	} {
		name := c.protocol + " shared session"
		if c.sessions != "" {
			name = c.protocol + " own sessions"
		}
		t.Run(fmt.Sprintf("%s %v", name, c.how), func(t *testing.T) {
			t.Parallel()
			o := newOutage(t, c.protocol, c.sessions)
			o.server.Stop(t, c.how)
			began := time.Now()
			o.told(began, "connection refused")
			o.pass(o.length - time.Since(began))
			o.server.Restart(t)
			o.recovers()
			o.tries(2)
		})
	}
}

// told checks that metrics, probe and log name the outage and its cause in time.
func (o *outage) told(began time.Time, cause string) {
	o.Helper()
	row := drillRows(o.T)["database down"]
	c := client(o)
	mqtttest.Eventually(o, drillTime, func() error {
		if err := row.told(c, o.saver); err != nil {
			return err
		}
		for line := range strings.Lines(o.saver.output.String()) {
			if contains(line, row.log) && contains(line, cause) {
				return nil
			}
		}
		return errors.New("the log does not name the cause")
	})
	o.Logf("told after %v: %s", round(time.Since(began)), get(c, o.saver.base+"/readyz"))
}

// A database that hangs is an outage, too: an attempt fails when its time is up.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t, protocol, ownSessions)
			thaw := o.server.Freeze(t)
			began := time.Now()
			o.told(began, "deadline exceeded")
			o.pass(o.length - time.Since(began))
			thaw()
			o.recovers()
			o.tries(1) // reports, which have one key, take longer to show it
		})
	}
}

// A database that comes and goes ten times costs no message.
func TestDatabaseFlaps(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"5", "3.1.1"} {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			o := newOutage(t, protocol, "")
			for n := range 10 {
				o.server.Stop(t, []syscall.Signal{postgres.Fast, postgres.Immediate}[n%2])
				o.pass(2 * time.Second)
				o.server.Restart(t)
				o.pass(time.Second)
			}
			o.recovers()
			o.tries(2)
		})
	}
}

// A saver that is stopped or killed during an outage leaves everything to the next one, which waits
// for the database.
func TestSaverRestartsDuringAnOutage(t *testing.T) {
	t.Parallel()
	for name, down := range map[string]func(o *outage) (up func()){
		"refused": func(o *outage) func() {
			o.server.Stop(o.T, postgres.Immediate)
			return func() { o.server.Restart(o.T) }
		},
		"hangs": func(o *outage) func() { return o.server.Freeze(o.T) },
	} {
		for _, end := range []func(*service, testing.TB){(*service).stop, (*service).kill} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				o := newOutage(t, "5", "")
				up := down(o)
				o.told(time.Now(), "failed")
				began := time.Now()
				end(o.saver, t)
				o.Logf("ended within %v", round(time.Since(began)))
				var upped sync.WaitGroup
				upped.Go(func() {
					o.pass(3 * time.Second)
					up()
				})
				o.saver = o.start()
				upped.Wait()
				o.recovers()
			})
		}
	}
}

// A subscription that an operator pauses during an outage stays paused after it, and no other does.
func TestPauseDuringAnOutage(t *testing.T) {
	t.Parallel()
	const operation = "/report.v1.ReportEvents/SaveEventReport"
	o := newOutage(t, "5", ownSessions)
	steer := func(call string) {
		res, err := client(t).Post(o.saver.base+remote.Path+call, "application/json", strings.NewReader(`{"name":"`+operation+`","by":"drill"}`))
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Fatalf("%s: status %d", call, res.StatusCode)
		}
	}
	o.server.Stop(t, postgres.Immediate)
	o.until(func() error {
		if n := strings.Count(o.saver.output.String(), "mqtt: the breaker of "); n < 2 {
			return fmt.Errorf("%d breakers are open", n)
		}
		return nil
	})
	steer("PauseSubscription")
	o.server.Restart(t)
	stored, readings := o.rows()
	o.until(func() error {
		if _, n := o.rows(); n < readings+100 {
			return fmt.Errorf("%d readings stored since", n-readings)
		}
		return nil
	})
	if n, _ := o.rows(); n != stored {
		t.Errorf("%d reports are stored while they are paused", n-stored)
	}
	steer("ResumeSubscription")
	o.nothingLost()
	o.tries(2)
}
