package doctest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	mqttbroker "github.com/kratos-mqtt/kratos-mqtt/broker/mqtt"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// configuration is the page with the table of variables, and settings the generated page with
// all settings. make check-settings checks that it is current.
const (
	configuration = "docs/guide/configuration.md"
	settings      = "docs/guide/settings.md"
)

// TestDefaults checks that the tables contain the defaults of the code.
func TestDefaults(t *testing.T) {
	t.Parallel()
	defaults := map[string]string{
		"connection.keep_alive":          span(session.DefaultKeepAlive),
		"connection.connect_timeout":     span(session.DefaultConnectTimeout),
		"connection.write_timeout":       span(session.DefaultWriteTimeout),
		"connection.max_reconnect_delay": span(session.DefaultMaxReconnectDelay),
		"connection.session_expiry":      hours(session.DefaultSessionExpiry),
		"publisher.in_flight":            fmt.Sprint(session.DefaultWindow),
		"publisher.timeout":              span(session.DefaultPublishTimeout),
		"publisher.max_payload":          fmt.Sprintf("%d KiB", client.DefaultMaxPayload>>10),
		"subscriber.concurrency":         fmt.Sprint(client.DefaultConcurrency),
		"subscriber.queue":               fmt.Sprint(client.DefaultQueue),
		"subscriber.queue_bytes":         fmt.Sprintf("%d MiB", client.DefaultQueueBytes>>20),
		"subscriber.max_payload":         fmt.Sprintf("%d KiB", client.DefaultMaxPayload>>10),
		"subscriber.handler_timeout":     span(client.DefaultHandlerTimeout),
		"subscriber.retry_budget":        span(client.DefaultRetryBudget),
		"retry.min_backoff":              fmt.Sprintf("%d ms", delivery.DefaultMinBackoff.Milliseconds()),
		"retry.max_backoff":              span(delivery.DefaultMaxBackoff),
		"outbox.max_entries":             thousands(outboxsql.DefaultMaxEntries),
		"outbox.max_bytes":               fmt.Sprintf("%d GiB", outboxsql.DefaultMaxBytes>>30),
		"dedup.window":                   hours(dedup.DefaultTTL),
		"dedup.max_ids":                  thousands(dedup.DefaultMaxIDs),
		"dead_letters.max_letters":       thousands(deadlettersql.DefaultMaxLetters),
		"dead_letters.max_bytes":         fmt.Sprintf("%d GiB", deadlettersql.DefaultMaxBytes>>30),
		"dead_letters.share":             fmt.Sprint(deadletter.DefaultShare),
		"dead_letters.park_limit":        hours(client.DefaultParkLimit),
	}
	for _, row := range rowsOfSettings(t) {
		field := row[0]
		if want, ok := defaults[field]; ok && row[2] != want && !strings.HasPrefix(row[2], want+",") && !strings.HasPrefix(row[2], want+";") {
			t.Errorf("%s: %s says %q, the code %q", field, settings, row[2], want)
		}
		delete(defaults, field)
	}
	if len(defaults) > 0 {
		t.Errorf("%s has no rows for %v", settings, defaults)
	}
}

// rowsOfSettings returns the rows of all tables of settings: key, type, default, range and meaning.
func rowsOfSettings(t *testing.T) (rows [][]string) {
	t.Helper()
	for _, section := range strings.Split(load(t, settings).text, "\n## ")[1:] {
		for _, row := range (document{settings, section}).table(t, "key") {
			row[0] = names(row[0])[0]
			rows = append(rows, row)
		}
	}
	return rows
}

// TestRanges checks that a number below or above the range of its setting is a problem that names the
// setting, and that the ends of the range are accepted.
func TestRanges(t *testing.T) {
	t.Parallel()
	between := regexp.MustCompile(`^(\d+) to (\d+)$`)
	checked := 0
	for _, row := range rowsOfSettings(t) {
		m := between.FindStringSubmatch(row[3])
		if m == nil {
			continue
		}
		checked++
		least, _ := strconv.ParseInt(m[1], 10, 64)
		most, _ := strconv.ParseInt(m[2], 10, 64)
		for _, n := range []int64{least, most, most + 1} {
			c := &kratosmqttv1.Settings{Connection: &kratosmqttv1.Connection{Addresses: []string{"mqtt://127.0.0.1:1883"}}}
			section, key, _ := strings.Cut(row[0], ".")
			in := c.ProtoReflect()
			switch section { // these have no section of their own in a file
			case "will":
				c.Connection.Will = &kratosmqttv1.Will{Topic: "gone"}
				in = c.Connection.Will.ProtoReflect()
			case "partitions":
				c.Connection.Partitions = &kratosmqttv1.Partitions{Count: 1}
				in = c.Connection.Partitions.ProtoReflect()
			case "breaker":
				c.Subscriber = &kratosmqttv1.Subscriber{Breaker: &kratosmqttv1.Breaker{}}
				in = c.Subscriber.Breaker.ProtoReflect()
			default:
				in = in.Mutable(in.Descriptor().Fields().ByName(protoreflect.Name(section))).Message()
			}
			field := in.Descriptor().Fields().ByName(protoreflect.Name(key))
			if field.Kind() == protoreflect.Uint64Kind {
				in.Set(field, protoreflect.ValueOfUint64(uint64(n)))
			} else {
				in.Set(field, protoreflect.ValueOfUint32(uint32(n)))
			}
			err := mqttbroker.Check(c, false)
			if within := n <= most; within != (err == nil) {
				t.Errorf("%s: %d, with the range %s: %v", row[0], n, row[3], err)
			} else if !within && !strings.Contains(err.Error(), key) {
				t.Errorf("%s: the error of %d does not name it: %v", row[0], n, err)
			}
		}
	}
	if checked == 0 {
		t.Errorf("%s has no range", settings)
	}
}

// TestWords checks that the words of exhausted and the reasons in the documents exist.
func TestWords(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"exhausted": {
			string(event.ExhaustedPark), string(event.ExhaustedDeadLetter), string(event.ExhaustedBlock), string(event.ExhaustedDrop),
		},
		"reasons": {string(event.VerdictRetry), string(event.VerdictDeadLetter), string(event.VerdictDrop), string(event.VerdictAcknowledge)},
	}
	for _, row := range rowsOfSettings(t) {
		if words, ok := want[strings.TrimPrefix(row[0], "subscription.")]; ok {
			same(t, row[0], slices.DeleteFunc(names(row[4]), func(w string) bool { return w == "404" }), words)
			delete(want, strings.TrimPrefix(row[0], "subscription."))
		}
	}
	if len(want) > 0 {
		t.Errorf("%s has no rows for %v", settings, want)
	}
}

func span(d time.Duration) string { return fmt.Sprintf("%d s", int(d.Seconds())) }

func hours(d time.Duration) string { return fmt.Sprintf("%d h", int(d.Hours())) }

// thousands formats a number with commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// TestPresets checks that the presets in the documents exist.
func TestPresets(t *testing.T) {
	t.Parallel()
	for _, row := range rowsOfSettings(t) {
		if row[0] != "connection.preset" {
			continue
		}
		if len(names(row[4])) == 0 {
			t.Errorf("%s names no preset", settings)
		}
		for _, name := range names(row[4]) {
			if _, err := client.FindPreset(name); err != nil {
				t.Error(err)
			}
		}
		return
	}
	t.Errorf("%s has no preset", settings)
}

// TestVariables compares the table of variables with configs/config.yaml, which must also have the
// variables of the other configurations.
func TestVariables(t *testing.T) {
	t.Parallel()
	var shown, listed []string
	for _, row := range load(t, configuration).table(t, "variable") {
		value := strings.Join(names(row[1]), "")
		listed = append(listed, names(row[0])[0])
		shown = append(shown, names(row[0])[0]+" "+value)
	}
	files, err := filepath.Glob(filepath.Join(root, "configs", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	variable := regexp.MustCompile(`\$\{(KM_\w+):([^}]*)\}`)
	var there []string
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range variable.FindAllStringSubmatch(string(text), -1) {
			if filepath.Base(file) == "config.yaml" {
				there = append(there, m[1]+" "+m[2])
			} else if !slices.Contains(listed, m[1]) {
				t.Errorf("%s does not list %s of %s", configuration, m[1], file)
			}
		}
	}
	same(t, "variables", shown, there)
}

// TestSizes checks that the tests read the variables in the documents.
func TestSizes(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, folder := range []string{"internal", "event"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			tests.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, row := range load(t, "docs/guide/testing.md").table(t, "variable") {
		for _, name := range names(row[0]) {
			if !strings.Contains(tests.String(), `"`+name+`"`) {
				t.Errorf("no test reads %s", name)
			}
		}
	}
}

// TestIgnoredOptions compares the options without effect with the code.
func TestIgnoredOptions(t *testing.T) {
	t.Parallel()
	var shown, there []string
	page := load(t, "docs/guide/migrating.md")
	for _, head := range []string{"`mqttbroker`", "`mqttserver`"} {
		for _, row := range page.table(t, head) {
			if strings.HasPrefix(row[2], "no effect") {
				shown = append(shown, names(row[0])...)
			}
		}
	}
	for _, folder := range []string{"broker/mqtt", "transport/mqtt"} {
		files, err := filepath.Glob(filepath.Join(root, folder, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range regexp.MustCompile(`\b[iI]gnored?\("(\w+)"\)`).FindAllStringSubmatch(string(text), -1) {
				there = append(there, m[1])
			}
		}
	}
	same(t, "options without effect", shown, there)
}

// TestReasons compares the reasons of a failed publish with their codes.
func TestReasons(t *testing.T) {
	t.Parallel()
	var shown, there []string
	text, err := os.ReadFile(filepath.Join(root, "event", "errors.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`Reason\w+\s+Reason = "(\w+)"`).FindAllStringSubmatch(string(text), -1) {
		there = append(there, m[1])
	}
	for _, row := range load(t, "docs/guide/messages.md").table(t, "reason") {
		for _, reason := range names(row[0]) {
			shown = append(shown, reason)
			e := event.Error{Reason: event.Reason(reason)}
			if got := fmt.Sprint(e.Code()); got != row[1] {
				t.Errorf("%s: documented as %s, is %s", reason, row[1], got)
			}
		}
	}
	same(t, "reasons", shown, there)
}

func same(t *testing.T, what string, shown, there []string) {
	t.Helper()
	slices.Sort(shown)
	slices.Sort(there)
	if len(there) == 0 || !slices.Equal(shown, there) {
		t.Errorf("%s\ndocumented: %q\nin the code: %q", what, shown, there)
	}
}
