package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"

	"github.com/kratos-mqtt/kratos-mqtt/mqtttest"
)

// The log of a service through start, outages, floods of bad messages and stop has the lines
// of testdata/logs.txt, by level, message and keys (UPDATE=1 writes it). A flood of ten times as
// many messages makes no more lines, and no line has a payload or a password.
func TestLogs(t *testing.T) {
	t.Parallel()
	const few, many = 200, 2000
	small, large := troubled(t, few), troubled(t, many)
	for _, text := range []string{small, large} {
		for _, secret := range []string{marker, password} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("the log has %q: %q", secret, text[max(0, i-400):i+len(secret)])
			}
		}
	}
	// Each kind may have 30 lines a minute, one more for each of 30 senders, and one for those left out.
	a, b := strings.Count(small, " msg="), strings.Count(large, " msg=")
	t.Logf("%d lines for floods of %d, %d for %d", a, few, b, many)
	if b > a+moreLines {
		t.Errorf("%d lines for floods of %d messages, %d for %d", a, few, b, many)
		for message, n := range byMessage(large) {
			if before := byMessage(small)[message]; n > before {
				t.Logf("%d, then %d: %s", before, n, message)
			}
		}
	}
	got := kinds(t, small+large)
	path := filepath.Join("testdata", "logs.txt")
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("logged:\n%s\nwant (UPDATE=1 writes %s):\n%s", got, path, want)
	}
}

const (
	marker   = "payload-marker"
	password = "s3cr3t-password"
	// moreLines is how many lines more a larger flood may have, because it lasts longer: lines of
	// another minute of each kind would be more.
	moreLines = 100
)

// The parts of a line, and what varies in its message. Fields whose values have spaces are quoted, or at the end.
var (
	logLine = regexp.MustCompile(`^(INFO|WARN|ERROR) .*?caller=\S+ service=\S+ version=\S+ .*?msg=(.*)$`)
	field   = regexp.MustCompile(` ((?:messaging|kratosmqtt|server|error|exception)\.[a-z_.]+)=`)
	own     = regexp.MustCompile(` ([a-z_]+)=`)
	varied  = regexp.MustCompile(`\d+(\.\d+)?(ms|s|µs)?`)
)

// parts takes a line apart.
func parts(t *testing.T, text string) (level, message string, keys []string) {
	t.Helper()
	m := logLine.FindStringSubmatch(text)
	if m == nil {
		t.Errorf("not a line: %q", text)
		return "", "", nil
	}
	level, message = m[1], m[2]
	pattern := field
	if !strings.HasPrefix(message, "mqtt: ") {
		pattern = own
	}
	if at := pattern.FindStringIndex(message); at != nil {
		for _, key := range pattern.FindAllStringSubmatch(message, -1) {
			if !slices.Contains(keys, key[1]) {
				keys = append(keys, key[1])
			}
		}
		message = message[:at[0]]
	}
	return level, varied.ReplaceAllString(message, "N"), keys
}

// logLines returns the lines of the log without the banner.
func logLines(text string) (lines []string) {
	for line := range strings.Lines(text) {
		if strings.Contains(line, " msg=") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

func byMessage(text string) map[string]int {
	all := make(map[string]int)
	for _, line := range logLines(text) {
		_, message, _ := strings.Cut(line, " msg=")
		message, _, _ = strings.Cut(message, " messaging.")
		message, _, _ = strings.Cut(message, " kratosmqtt.")
		all[message]++
	}
	return all
}

// byTime are messages that depend on how far the service was when something happened.
var byTime = []string{"stopping", "stopped after", "mqtt: stopped, and left", "mqtt: the outbox is held back"}

// sometimes are keys that a line has only if there is something to report.
var sometimes = []string{"kratosmqtt.suppressed", "error.type", "kratosmqtt.also_waiting"}

// kinds lists each kind of line once, with the keys that any of its lines has.
func kinds(t *testing.T, text string) string {
	t.Helper()
	all := make(map[string]map[string]bool)
	for _, line := range logLines(text) {
		level, message, keys := parts(t, line)
		kind := level + " " + message
		if slices.ContainsFunc(byTime, func(prefix string) bool { return strings.HasPrefix(message, prefix) }) {
			continue
		}
		if all[kind] == nil {
			all[kind] = make(map[string]bool)
		}
		for _, key := range keys {
			if !slices.Contains(sometimes, key) {
				all[kind][key] = true
			}
		}
	}
	var out strings.Builder
	for _, kind := range slices.Sorted(maps.Keys(all)) {
		fmt.Fprintf(&out, "%s | %s\n", kind, strings.Join(slices.Sorted(maps.Keys(all[kind])), " "))
	}
	return out.String()
}

// troubled runs a service through all that can go wrong, each time with n messages, and returns
// its log.
func troubled(t *testing.T, n int) string {
	t.Helper()
	rules := filepath.Join(t.TempDir(), "rules")
	topics := "topic readwrite devices/#\ntopic readwrite alerts/#\ntopic readwrite old/#\ntopic readwrite reports/user\ntopic readwrite $share/#\ntopic read reports/event\n"
	text := topics + "user service\n" + topics
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b := mqtttest.Mosquitto(t, mqtttest.WithConfig("acl_file "+rules, "max_queued_messages 100000"))
	leaveFilter(t, b)
	s, tab := drilled(t, b, "    queue: 64\n    unmatched_grace: 1s\n",
		"    driver: \"${KM_OUTBOX:file}\"\n", "    driver: \"${KM_OUTBOX:file}\"\n    refused_limit: 1s\n",
		"    addresses: \"${KM_MQTT_BROKER:}\"\n", "    addresses: \"${KM_MQTT_BROKER:}\"\n    username: service\n    password: "+password+"\n")
	c := client(t)
	awaits := func(condition string) {
		t.Helper()
		mqtttest.Eventually(t, 4*startTimeout, func() error { return holds(condition, get(c, s.base+"/metrics")) })
	}

	// Messages that cannot be decoded, that the handler refuses, and that nobody expects.
	flood(t, b, 1, n, func(i int) (topic, payload string) {
		return fmt.Sprintf("devices/d%d/data", i), `{"temperature":` + marker
	})
	flood(t, b, 1, n, func(i int) (topic, payload string) {
		return fmt.Sprintf("devices/e%d/data", i), `{"temperature":20,"door":"` + marker + `","timestamp":"9999-12-31T00:00:00Z","event_id":"` + strings.Repeat("x", 300) + `"}`
	})
	flood(t, b, 1, n, func(i int) (topic, payload string) { return fmt.Sprintf("old/%d", i), marker })
	awaits(fmt.Sprintf("kratosmqtt_dead_letters_total > %d", 0))

	// Publishes that the broker refuses.
	newLoad(t, s.base).postAll(t, n, nil)
	awaits("kratosmqtt_outbox_quarantined > 0")

	// The database is down.
	tab.exec(t, "CREATE TRIGGER down BEFORE INSERT ON telemetry BEGIN SELECT RAISE(ABORT, 'down'); END")
	flood(t, b, 1, n, reading)
	awaits("kratosmqtt_breaker_open > 0")
	tab.exec(t, "DROP TRIGGER down")
	mqtttest.Eventually(t, 4*startTimeout, func() error {
		if err := holds("kratosmqtt_breaker_open > 0", get(c, s.base+"/metrics")); err == nil {
			return fmt.Errorf("the breaker is open")
		}
		return nil
	})

	mqtttest.Eventually(t, 4*startTimeout, func() error {
		var rows int
		if err := tab.db.QueryRow("SELECT count(*) FROM telemetry").Scan(&rows); err != nil || rows < n {
			return fmt.Errorf("%d rows of %d: %w", rows, n, err)
		}
		return nil
	})

	// The database is locked: handlers are late, and QoS 0 messages do not fit into the queue.
	conn, err := tab.db.Conn(t.Context())
	if err == nil {
		_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	}
	if err != nil {
		t.Fatal(err)
	}
	flood(t, b, 0, 10*n, reading)
	awaits("kratosmqtt_messages_queue_full_total > 0")
	awaits("kratosmqtt_handlers_late > 0")
	if _, err := conn.ExecContext(t.Context(), "ROLLBACK"); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}

	// The broker is down.
	b.Stop()
	awaits("kratosmqtt_ready == 0")
	awaits("kratosmqtt_connection_failures_total > 1")
	b.Start()
	mqtttest.Eventually(t, 4*startTimeout, func() error {
		if text := get(c, s.base+"/readyz"); contains(text, `"not ready"`) {
			return fmt.Errorf("not ready: %s", text)
		}
		return holds("kratosmqtt_ready > 0", get(c, s.base+"/metrics"))
	})
	s.stop(t)
	if name := os.Getenv("LOGS"); name != "" {
		_ = os.WriteFile(name, []byte(s.output.String()), 0o600)
	}
	return s.output.String()
}

func reading(i int) (topic, payload string) {
	return fmt.Sprintf("devices/d%d/data", i), fmt.Sprintf(`{"temperature":20,"timestamp":%d,"door":%q}`, 1778068800+i, marker)
}

// leaveFilter subscribes the session of the service to a filter that the service does not have.
func leaveFilter(t *testing.T, b *mqtttest.MosquittoBroker) {
	t.Helper()
	c := paho.NewClient(paho.NewClientOptions().AddBroker(b.URL()).SetClientID("report-service").SetUsername("service").SetPassword(password).
		SetCleanSession(false).SetAutoReconnect(false).SetProtocolVersion(4))
	for _, step := range []func() paho.Token{c.Connect, func() paho.Token { return c.Subscribe("old/#", 1, nil) }} {
		if token := step(); !token.WaitTimeout(startTimeout) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
	c.Disconnect(100)
}

// flood publishes n messages as one device.
func flood(t *testing.T, b *mqtttest.MosquittoBroker, qos byte, n int, message func(i int) (topic, payload string)) {
	t.Helper()
	c := connected(t, b, "flood")
	defer c.Disconnect(uint(time.Second / time.Millisecond))
	tokens := make([]paho.Token, 0, n)
	for i := range n {
		topic, payload := message(i)
		tokens = append(tokens, c.Publish(topic, qos, false, payload))
	}
	for _, token := range tokens {
		if !token.WaitTimeout(2*startTimeout) || token.Error() != nil {
			t.Fatal(token.Error())
		}
	}
}
