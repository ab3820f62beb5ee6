package main

import (
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A running service is ready, and its metrics count the messages that went through it,
// under their templates.
func TestTelemetryOfARunningService(t *testing.T) {
	r := start(t, allInOne(filepath.Join(t.TempDir(), "test.db")))
	if !r.post(t, 1) {
		t.Fatal("the report was refused")
	}
	get := func(path string) (int, string) {
		res, err := r.client.Get(r.url + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(text)
	}
	missing := func() (list []string) {
		_, text := get("/metrics")
		for _, name := range []string{
			"messaging_client_operation_duration_seconds_count", "messaging_client_sent_messages_total",
			"messaging_client_consumed_messages_total", "messaging_process_duration_seconds_count",
			"kratosmqtt_message_age_seconds_count", "kratosmqtt_batch_size_count",
		} {
			if !slices.ContainsFunc(strings.Split(text, "\n"), func(line string) bool {
				return strings.HasPrefix(line, name+"{") && strings.Contains(line, `messaging_destination_template="reports/event"`) &&
					strings.Contains(line, `messaging_system_name="mqtt"`)
			}) {
				list = append(list, name)
			}
		}
		return list
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(30 * time.Second); len(missing()) > 0; <-tick.C {
		if time.Now().After(deadline) {
			_, text := get("/metrics")
			t.Fatalf("missing: %v in\n%s", missing(), text)
		}
	}
	if code, text := get("/readyz"); code != http.StatusOK || !strings.Contains(text, `"ready"`) {
		t.Errorf("%d %s", code, text)
	}
}
