package main

import (
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/go-kratos/kratos/v2/log"

	kratosmqttv1 "github.com/kratos-mqtt/kratos-mqtt/api/kratosmqtt/v1"
	"github.com/kratos-mqtt/kratos-mqtt/internal/conf"
)

// reports.md A11: while the saver does not keep up, accepted but unsaved messages are
// bounded in bytes; over the bound, HTTP refuses reports with Retry-After. Nothing that
// was accepted is lost, and reports are accepted again once the saver has caught up.
func TestSlowSaverIsFeltAtTheDoor(t *testing.T) {
	const bound, content = 64 << 10, 1 << 10
	for driver, want := range map[string]struct {
		most   int // accepted reports
		reason string
	}{
		conf.DriverFile: {2 * bound / content, "OUTBOX_FULL"},
		conf.DriverNone: {bound / content, "SAVER_BEHIND"},
	} {
		t.Run(driver, func(t *testing.T) {
			source := filepath.Join(t.TempDir(), "test.db")
			c := allInOne(source)
			c.Mqtt.MaxUnsavedBytes = bound
			c.Mqtt.Outbox = &kratosmqttv1.Outbox{Driver: driver, Path: filepath.Join(t.TempDir(), "outbox.db"), MaxBytes: bound}
			r := start(t, c)
			if !r.post(t, 0) {
				t.Fatal("refused")
			}
			eventually(t, func() bool { return len(r.list(t, "/v1/reports", "reports")) == 1 })
			release := lock(t, source)
			accepted := 0
			refusal := r.fill(t, content, 4*want.most, &accepted)
			if refusal.code != http.StatusServiceUnavailable || refusal.retryAfter != "1" || !strings.Contains(refusal.text, want.reason) {
				t.Errorf("after %d reports: %+v, want a 503 of reason %s with Retry-After", accepted, refusal, want.reason)
			}
			if accepted < want.most/2 || accepted > want.most {
				t.Errorf("%d reports of %d bytes were accepted while none was saved, want at most %d", accepted, content, want.most)
			}
			release()
			eventually(t, func() bool { return r.post(t, 1) })
			eventually(t, func() bool { return len(r.list(t, "/v1/reports?page_size=1000", "reports")) == accepted+2 })
		})
	}
}

// lines records log lines.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) have(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Contains(l.text.String(), text)
}

// reports.md A10: a stop with a backlog logs what it waits for, waits, and logs the true
// result.
func TestStopSaysWhatIsLeft(t *testing.T) {
	source, out := filepath.Join(t.TempDir(), "test.db"), new(lines)
	r := startWith(t, allInOne(source), log.NewStdLogger(out))
	if !r.post(t, 0) {
		t.Fatal("refused")
	}
	eventually(t, func() bool { return len(r.list(t, "/v1/reports", "reports")) == 1 })
	release := lock(t, source)
	for n := range 30 {
		if !r.post(t, n+1) {
			t.Fatalf("report %d was refused", n)
		}
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	eventually(t, func() bool {
		return out.have("accepted messages are handled first: 30 messages at the in-process broker")
	})
	eventually(t, func() bool { return out.have("stopping for 1s: remaining: 30 messages at the in-process broker") })
	release()
	<-stopped
	if !out.have("stopping: all accepted messages were handled") {
		t.Error("the end is not told")
	}
	again := start(t, allInOne(source))
	if rows := len(again.list(t, "/v1/reports", "reports")); rows != 31 {
		t.Errorf("%d rows of 31 accepted reports", rows)
	}
}

// lock prevents writes to a database until the returned function is called.
func lock(t *testing.T, source string) (release func()) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+source+"?_txlock=immediate&_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return func() { _ = tx.Rollback() }
}

// answer is the answer to a refused report.
type answer struct {
	code             int
	retryAfter, text string
}

// fill posts reports until one is refused, but at most so many.
func (r *running) fill(t *testing.T, size, most int, accepted *int) answer {
	t.Helper()
	body := fmt.Sprintf(`{"report_type":"event","app_id":"a","app_key":"k","event_name":"e","content":"\"%s\""}`, strings.Repeat("x", size-2))
	for range most {
		res, err := r.client.Post(r.url+"/v1/reports", "application/json", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return answer{res.StatusCode, res.Header.Get("Retry-After"), string(text)}
		}
		*accepted++
	}
	return answer{code: http.StatusOK}
}
