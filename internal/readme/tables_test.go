package readme

import (
	"fmt"
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
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine"
	"github.com/kratos-mqtt/kratos-mqtt/internal/engine/session"
)

// TestFields wants every field of the configuration messages in the table, and
// the defaults that the code has.
func TestFields(t *testing.T) {
	t.Parallel()
	defaults := map[string]string{
		"connection.keep_alive":          span(session.DefaultKeepAlive),
		"connection.connect_timeout":     span(session.DefaultConnectTimeout),
		"connection.write_timeout":       span(session.DefaultWriteTimeout),
		"connection.max_reconnect_delay": span(session.DefaultMaxReconnectDelay),
		"connection.session_expiry":      fmt.Sprintf("%d h", int(session.DefaultSessionExpiry.Hours())),
		"publisher.in_flight":            fmt.Sprint(session.DefaultWindow),
		"publisher.timeout":              span(session.DefaultPublishTimeout),
		"publisher.max_payload":          fmt.Sprintf("%d KiB", engine.DefaultMaxPayload>>10),
		"subscriber.concurrency":         fmt.Sprint(engine.DefaultConcurrency),
		"subscriber.queue":               fmt.Sprint(engine.DefaultQueue),
		"subscriber.handler_timeout":     span(engine.DefaultHandlerTimeout),
		"subscriber.retry_budget":        span(engine.DefaultRetryBudget),
		"subscriber.dead_letter_topic":   "none",
	}
	var shown []string
	for _, row := range load(t, "README.md").table(t, "field") {
		for _, field := range names(row[0]) {
			shown = append(shown, field)
			if want, ok := defaults[field]; ok && row[1] != want {
				t.Errorf("%s: README.md says %q, the code %q", field, row[1], want)
			}
		}
	}
	var there []string
	for name, m := range map[string]proto.Message{
		"connection.": &kratosmqttv1.Connection{},
		"publisher.":  &kratosmqttv1.Publisher{},
		"subscriber.": &kratosmqttv1.Subscriber{},
	} {
		there = append(there, fieldsOf(name, m)...)
	}
	same(t, "configuration fields", shown, there)
	for _, field := range append(fieldsOf("", &kratosmqttv1.TLS{}), fieldsOf("", &kratosmqttv1.Will{})...) {
		if !strings.Contains(load(t, "README.md").text, "`"+field+"`") {
			t.Errorf("README.md does not name %s", field)
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

// TestPresets wants presets that there are.
func TestPresets(t *testing.T) {
	t.Parallel()
	for _, row := range load(t, "README.md").table(t, "field") {
		if row[0] != "`connection.preset`" {
			continue
		}
		if len(names(row[2])) == 0 {
			t.Error("README.md names no preset")
		}
		for _, name := range names(row[2]) {
			if _, err := engine.FindPreset(name); err != nil {
				t.Error(err)
			}
		}
		return
	}
	t.Error("README.md has no preset")
}

// TestVariables compares the table of variables with configs/config.yaml.
func TestVariables(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(root, "configs", "config.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var there, shown []string
	for _, m := range regexp.MustCompile(`\$\{(KM_\w+):([^}]*)\}`).FindAllStringSubmatch(string(text), -1) {
		there = append(there, m[1]+" "+m[2])
	}
	for _, row := range load(t, "README.md").table(t, "variable") {
		value := strings.Join(names(row[1]), "")
		shown = append(shown, names(row[0])[0]+" "+value)
	}
	same(t, "variables", shown, there)
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
			for _, m := range regexp.MustCompile(`bridge\.Ignore\("(\w+)"\)`).FindAllStringSubmatch(string(text), -1) {
				there = append(there, m[1])
			}
		}
	}
	same(t, "options without effect", shown, there)
}

// TestReasons compares the reasons of a failed publish with their codes.
func TestReasons(t *testing.T) {
	t.Parallel()
	for _, row := range load(t, "docs/guide/messages.md").table(t, "reason") {
		for _, reason := range names(row[0]) {
			e := event.Error{Reason: event.Reason(reason)}
			if got := fmt.Sprint(e.Code()); got != row[1] {
				t.Errorf("%s: documented as %s, is %s", reason, row[1], got)
			}
		}
	}
}

func same(t *testing.T, what string, shown, there []string) {
	t.Helper()
	slices.Sort(shown)
	slices.Sort(there)
	if len(there) == 0 || !slices.Equal(shown, there) {
		t.Errorf("%s\ndocumented: %q\nin the code: %q", what, shown, there)
	}
}
