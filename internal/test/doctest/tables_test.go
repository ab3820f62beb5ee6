package doctest

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/event"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter"
	"github.com/kratos-mqtt/kratos-mqtt/event/deadletter/deadlettersql"
	"github.com/kratos-mqtt/kratos-mqtt/event/dedup"
	"github.com/kratos-mqtt/kratos-mqtt/event/outbox/outboxsql"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/client"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/delivery"
	"github.com/kratos-mqtt/kratos-mqtt/internal/mqtt/session"
)

// configuration is the page with the tables of fields and variables.
const configuration = "docs/guide/configuration.md"

// TestFields checks that the tables contain every field of the configuration messages, with the defaults
// of the code.
func TestFields(t *testing.T) {
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
		"subscriber.dead_letter_topic":   "none",
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
	page := load(t, configuration)
	var shown []string
	for _, row := range page.table(t, "field") {
		for _, field := range names(row[0]) {
			shown = append(shown, field)
			want, ok := defaults[field]
			if ok && row[1] != want {
				t.Errorf("%s: %s says %q, the code %q", field, configuration, row[1], want)
			}
			delete(defaults, field)
		}
	}
	if len(defaults) > 0 {
		t.Errorf("%s has no rows for %v", configuration, defaults)
	}
	var there []string
	for name, m := range map[string]proto.Message{
		"connection.":   &kratosmqttv1.Connection{},
		"publisher.":    &kratosmqttv1.Publisher{},
		"subscriber.":   &kratosmqttv1.Subscriber{},
		"retry.":        &kratosmqttv1.Retry{},
		"replies.":      &kratosmqttv1.Replies{},
		"outbox.":       &kratosmqttv1.Outbox{},
		"dedup.":        &kratosmqttv1.Dedup{},
		"dead_letters.": &kratosmqttv1.DeadLetters{},
	} {
		there = append(there, fieldsOf(name, m)...)
	}
	same(t, "configuration fields", shown, there)
	shown = nil
	for _, row := range page.table(t, "subscription") {
		shown = append(shown, names(row[0])...)
	}
	same(t, "fields of a subscription", shown, fieldsOf("", &kratosmqttv1.Subscription{}))
	for _, field := range append(fieldsOf("", &kratosmqttv1.TLS{}), fieldsOf("", &kratosmqttv1.Will{})...) {
		if !strings.Contains(page.text, "`"+field+"`") {
			t.Errorf("%s does not name %s", configuration, field)
		}
	}
}

// TestWords checks that the words of exhausted and the reasons in the documents exist.
func TestWords(t *testing.T) {
	t.Parallel()
	want := map[string][]string{
		"exhausted": {
			string(event.ExhaustedPark), string(event.ExhaustedDeadLetter), string(event.ExhaustedBlock), string(event.ExhaustedDrop),
		},
		"reasons": {string(event.Retry), string(event.DeadLetter), string(event.Drop), string(event.Acknowledge)},
	}
	for _, row := range load(t, configuration).table(t, "subscription") {
		if words, ok := want[strings.Trim(row[0], "`")]; ok {
			same(t, row[0], names(row[1]), words)
		}
	}
}

func fieldsOf(prefix string, m proto.Message) (names []string) {
	fields := m.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		names = append(names, prefix+string(fields.Get(i).Name()))
	}
	return names
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
	for _, row := range load(t, configuration).table(t, "field") {
		if row[0] != "`connection.preset`" {
			continue
		}
		if len(names(row[2])) == 0 {
			t.Errorf("%s names no preset", configuration)
		}
		for _, name := range names(row[2]) {
			if _, err := client.FindPreset(name); err != nil {
				t.Error(err)
			}
		}
		return
	}
	t.Errorf("%s has no preset", configuration)
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
	for _, row := range load(t, "README.md").table(t, "| kratos-transport") {
		if strings.HasPrefix(row[0], "no effect") {
			shown = names(row[2])
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
