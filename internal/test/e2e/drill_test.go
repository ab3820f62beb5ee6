package e2e

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
	"github.com/kratos-mqtt/kratos-mqtt/operator/remote"
)

// drillTime is the time in which metrics, probe and log must report a fault: five seconds
// according to the page, and more on a busy machine.
const drillTime = 30 * time.Second

// signs is a row of the page: how a fault is reported, and how it is ended.
type signs struct {
	fault, metric, alert, reason, log string
	calls                             []string // methods of the operator's service that end it, in order
}

var quoted = regexp.MustCompile("`([^`]+)`")

// drillRows returns the rows of the table in docs/guide/operations.md, keyed by fault.
func drillRows(t *testing.T) map[string]signs {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "docs", "guide", "operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n## Drill\n")
	section, _, _ := strings.Cut(rest, "\n## ")
	rows := make(map[string]signs)
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if len(cells) != 6 || strings.HasPrefix(line, "|-") || strings.HasPrefix(line, "| fault") {
			continue
		}
		code := func(n int) string {
			m := quoted.FindStringSubmatch(cells[n])
			if m == nil {
				t.Fatalf("%q: column %d has no code", line, n+1)
			}
			return m[1]
		}
		s := signs{fault: strings.TrimSpace(cells[0]), metric: code(1), alert: code(2), reason: code(3), log: code(4)}
		for _, m := range quoted.FindAllStringSubmatch(cells[5], -1) {
			s.calls = append(s.calls, m[1])
		}
		rows[s.fault] = s
	}
	return rows
}

// incident is a fault that has begun.
type incident struct {
	s   *service
	end []step
}

// step is a part of what ends a fault: a call of the operator's service, or what somebody does
// elsewhere.
type step struct {
	call, body string
	do         func()
	// ended is a reason that the probe no longer has after the step.
	ended string
}

// Each row of the drill in docs/guide/operations.md is executed. Within five seconds
// the fault is reported by the metric, the probe's reason and the log line of the row.
// The action of the row ends it.
func TestDrill(t *testing.T) {
	rows := drillRows(t)
	alerts, err := os.ReadFile(filepath.Join(root, "docs", "operations", "alerts.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	faults := map[string]func(*testing.T) incident{
		"broker down": brokerDown, "database down": databaseDown, "poison key": poisonKey, "full outbox": fullOutbox,
		"expired certificate": expiredCertificate, "forbidden topic": forbiddenTopic, "slow handler": slowHandler, "refused letters": refusedLetters,
	}
	if len(rows) != len(faults) {
		t.Errorf("the page has %d faults, want %d", len(rows), len(faults))
	}
	for fault, begin := range faults {
		t.Run(fault, func(t *testing.T) {
			row, ok := rows[fault]
			if !ok {
				t.Fatal("the page does not have it")
			}
			if !contains(string(alerts), "alert: "+row.alert+"\n") {
				t.Errorf("there is no alert %s", row.alert)
			}
			in := begin(t)
			began := time.Now()
			c := client(t)
			mqtttest.Eventually(t, drillTime, func() error { return row.told(c, in.s) })
			t.Logf("told within %v", time.Since(began).Round(time.Millisecond))
			var calls []string
			for _, step := range in.end {
				if step.call != "" {
					calls = append(calls, step.call)
				}
			}
			if !slices.Equal(row.calls, calls) {
				t.Fatalf("the page calls %q, the test %q", row.calls, calls)
			}
			for _, step := range in.end {
				if step.do != nil {
					step.do()
				}
				if step.call != "" {
					operate(t, c, in.s, step)
				}
				if step.ended != "" {
					mqtttest.Eventually(t, drillTime, func() bool { return !contains(get(c, in.s.base+"/readyz"), `"`+step.ended+`"`) })
				}
			}
			mqtttest.Eventually(t, 2*startTimeout, func() error {
				if err := holds(row.metric, get(c, in.s.base+"/metrics")); err == nil {
					return fmt.Errorf("it has not ended: %s", row.metric)
				}
				if text := get(c, in.s.base+"/readyz"); contains(text, `"not ready"`) {
					return fmt.Errorf("it has not ended: %s", text)
				}
				return nil
			})
		})
	}
}

// told returns nil if the service reports the fault in each way that the row names.
func (row signs) told(c *http.Client, s *service) error {
	if text := get(c, s.base+"/readyz"); !contains(text, `"`+row.reason+`"`) {
		return fmt.Errorf("the reason is not %s: %s %v", row.reason, text, regexp.MustCompile(`(?m)^kratosmqtt_(queue|handlers).*$`).FindAllString(get(c, s.base+"/metrics"), -1))
	}
	if !contains(s.output.String(), row.log) {
		return fmt.Errorf("the log does not have %q", row.log)
	}
	return holds(row.metric, get(c, s.base+"/metrics"))
}

// holds returns nil if a sample fulfils a condition such as "metric > 0".
func holds(condition, text string) error {
	f := strings.Fields(condition)
	if len(f) != 3 {
		return fmt.Errorf("%q: want a metric, an operator and a number", condition)
	}
	want, err := strconv.ParseFloat(f[2], 64)
	if err != nil {
		return err
	}
	var seen []string
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if name, _, _ = strings.Cut(name, "{"); name != f[0] {
			continue
		}
		got, err := strconv.ParseFloat(value[strings.LastIndex(value, " ")+1:], 64)
		if err != nil {
			return err
		}
		if f[1] == "==" && got == want || f[1] == ">" && got > want || f[1] == "<" && got < want || f[1] == ">=" && got >= want {
			return nil
		}
		seen = append(seen, strings.TrimSpace(line))
	}
	return fmt.Errorf("no sample with %s: %q", condition, seen)
}

func get(c *http.Client, url string) string {
	res, err := c.Get(url)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// operate calls the operator's service until the call has had an effect.
func operate(t *testing.T, c *http.Client, s *service, call step) {
	t.Helper()
	mqtttest.Eventually(t, startTimeout, func() error {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.base+remote.Path+call.call, strings.NewReader(call.body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = res.Body.Close() }()
		var reply struct {
			Done, Message string
			Subscriptions []struct{ Name, State, By string }
		}
		if err := json.NewDecoder(res.Body).Decode(&reply); err != nil {
			return err
		}
		if res.StatusCode != http.StatusOK || reply.Done == "0" || call.call == "PauseSubscription" && (len(reply.Subscriptions) != 1 || reply.Subscriptions[0].By != "drill") {
			return fmt.Errorf("%s: %d %+v", call.call, res.StatusCode, reply)
		}
		return nil
	})
}

// all selects everything in a request to the operator's service.
const all = `{"all":true,"by":"drill"}`

// drilled starts the service with an operator on a Mosquitto, and returns it once it is
// subscribed. The changes apply to its configuration below server.mqtt and elsewhere.
func drilled(t *testing.T, b *mqtttest.MosquittoBroker, subscriber string, oldnew ...string) (*service, table) {
	t.Helper()
	db := sqliteStore(t)
	config := changed(t, "config.yaml", append([]string{"  mqtt:\n    concurrency: 16\n", "  mqtt:\n    concurrency: 16\n" + subscriber}, oldnew...)...)
	s := start(t, config, append(slices.Clone(db.env), "KM_MQTT_BROKER="+b.URL(), "KM_MQTT_PRESET=mosquitto")...)
	awaitReady(t, s)
	return s, db.open(t)
}

// exec runs a statement in the service's database, on a connection of its own.
func (tab table) exec(t *testing.T, statement string) {
	t.Helper()
	if _, err := tab.db.Exec(statement); err != nil {
		t.Fatal(err)
	}
}

// connected returns a client that is connected once, and not again.
func connected(t *testing.T, b *mqtttest.MosquittoBroker, id string) paho.Client {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID(id).SetAutoReconnect(false))
	if token := c.Connect(); !token.WaitTimeout(startTimeout) || token.Error() != nil {
		t.Fatal(token.Error())
	}
	return c
}

// send publishes messages, one after the other, as a device does.
func send(t *testing.T, b *mqtttest.MosquittoBroker, topic string, payloads ...string) {
	t.Helper()
	c := connected(t, b, "device")
	for _, p := range payloads {
		if token := c.Publish(topic, 1, false, p); !token.WaitTimeout(startTimeout) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	c.Disconnect(100)
}

func brokerDown(t *testing.T) incident {
	b := mqtttest.Mosquitto(t)
	s, _ := drilled(t, b, "")
	b.Stop()
	newLoad(t, s.base).postAll(t, 5, nil) // the first one is being sent, and stays
	return incident{s, []step{{call: "DeleteWaiting", body: `{"criteria":{"topic":"reports/#"},"by":"drill"}`}, {do: b.Start}}}
}

func databaseDown(t *testing.T) incident {
	s, tab := drilled(t, mqtttest.Mosquitto(t), "    breaker: {pause: 600s}\n")
	tab.exec(t, "CREATE TRIGGER down BEFORE INSERT ON realtime_warehousing BEGIN SELECT RAISE(ABORT, 'down'); END")
	if err := newLoad(t, s.base).postOne(t.Context()); err != nil {
		t.Fatal(err)
	}
	return incident{s, []step{
		{do: func() { tab.exec(t, "DROP TRIGGER down") }},
		{call: "ResumeSubscription", body: `{"name":"/report.v1.ReportEvents/SaveEventReport","by":"drill"}`},
	}}
}

func poisonKey(t *testing.T) incident {
	b := mqtttest.Mosquitto(t)
	s, tab := drilled(t, b, "    subscriptions:\n      devices/+/data: {exhausted: park, retry_budget: 1s}\n")
	tab.exec(t, "CREATE TRIGGER poison BEFORE INSERT ON telemetry WHEN NEW.device_id = 'bad' BEGIN SELECT RAISE(ABORT, 'poison'); END")
	send(t, b, "devices/bad/data", `{"temperature":20,"timestamp":1778068800}`)
	others(t, b)
	return incident{s, []step{{call: "DeleteParked", body: all}}}
}

// others keeps sending readings of a device whose messages are handled, so that the
// breaker of the subscription stays closed.
func others(t *testing.T, b *mqtttest.MosquittoBroker) {
	t.Helper()
	c := connected(t, b, "others")
	ctx, cancel := context.WithCancel(context.Background())
	var sending sync.WaitGroup
	sending.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for n := 1778068800; ctx.Err() == nil; n++ {
			c.Publish("devices/good/data", 1, false, fmt.Sprintf(`{"temperature":20,"timestamp":%d}`, n)).WaitTimeout(startTimeout)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() {
		cancel()
		sending.Wait()
		c.Disconnect(100)
	})
}

func fullOutbox(t *testing.T) incident {
	const bound = 10
	b := mqtttest.Mosquitto(t)
	s, _ := drilled(t, b, "", `    path: "${KM_OUTBOX_PATH:../data/outbox.db}"`+"\n", `    path: "${KM_OUTBOX_PATH:../data/outbox.db}"`+"\n    max_entries: "+strconv.Itoa(bound)+"\n")
	b.Stop()
	l := newLoad(t, s.base)
	l.postAll(t, bound, nil)
	if err := l.postOne(t.Context()); err == nil {
		t.Fatal("a report was accepted beyond the bound")
	}
	return incident{s, []step{{call: "DeleteWaiting", body: all, ended: "OUTBOX_FULL"}, {do: b.Start}}}
}

func expiredCertificate(t *testing.T) incident {
	ca := mqtttest.NewCA(t)
	b := mqtttest.Mosquitto(t, mqtttest.WithClientCertificates(ca))
	_, cert, key := ca.Issue("expired", x509.ExtKeyUsageClientAuth, time.Now().Add(-time.Hour))
	config := changed(t, "config.yaml", "  connection:\n", fmt.Sprintf("  connection:\n    tls: {ca_file: %q, cert_file: %q, key_file: %q}\n", ca.CertFile, cert, key))
	db, _ := database(t)
	s := start(t, config, db, "KM_MQTT_BROKER="+b.TLSURL(), "KM_MQTT_PRESET=mosquitto")
	return incident{s, []step{{do: func() {
		for to, from := range map[string]string{key: ca.ClientKeyFile, cert: ca.ClientCertFile} {
			text, err := os.ReadFile(from)
			if err == nil {
				err = os.WriteFile(to, text, 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}}}}
}

func forbiddenTopic(t *testing.T) incident {
	rules := filepath.Join(t.TempDir(), "rules")
	write := func(text string) {
		if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const others = "topic readwrite devices/#\ntopic readwrite alerts/#\ntopic readwrite reports/user\ntopic readwrite $share/#\ntopic read reports/event\n"
	write(others)
	b := mqtttest.Mosquitto(t, mqtttest.WithConfig("acl_file "+rules,
		"max_queued_messages 100000")) // without a bound, Mosquitto 2.0.11 also ends the connection
	s, _ := drilled(t, b, "", "    driver: \"${KM_OUTBOX:file}\"\n", "    driver: \"${KM_OUTBOX:file}\"\n    refused_limit: 1s\n")
	if err := newLoad(t, s.base).postOne(t.Context()); err != nil {
		t.Fatal(err)
	}
	return incident{s, []step{{
		call: "RetryQuarantined", body: all, do: func() {
			write(others + "topic readwrite reports/event\n")
			b.Reload()
		},
	}}}
}

// slowHandler locks the database, so that handlers wait for it.
func slowHandler(t *testing.T) incident {
	b := mqtttest.Mosquitto(t)
	s, tab := drilled(t, b, "", "handler_timeout: 2s", "handler_timeout: 1s")
	conn, err := tab.db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	send(t, b, "devices/d1/data", `{"temperature":20,"timestamp":1778068800}`)
	const subscription = `{"name":"devices/+/data","by":"drill","why":"the database is locked"}`
	return incident{s, []step{
		{call: "PauseSubscription", body: subscription},
		{do: func() {
			if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
				t.Fatal(err)
			}
		}},
		{call: "ResumeSubscription", body: `{"name":"devices/+/data","by":"drill"}`},
	}}
}

func refusedLetters(t *testing.T) incident {
	b := mqtttest.Mosquitto(t)
	s, _ := drilled(t, b, "", "data:\n  database:\n", "  dead_letters: {driver: sql, max_letters: 1, over_share: block}\ndata:\n  database:\n")
	send(t, b, "reports/event", "\xff no protobuf", "\xff nor this")
	return incident{s, []step{{call: "DeleteLetters", body: all}}}
}
