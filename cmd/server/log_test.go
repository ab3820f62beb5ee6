package main

import (
	"bytes"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/go-kratos/kratos/v2/log"
)

// logged is the destination of a log. Safe for concurrent use.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// A report in debug mode writes one log line. A report cannot forge log lines or move
// the cursor of a terminal. The log is created as in main.
func TestReportsForgeNoLines(t *testing.T) {
	out := new(logged)
	before := log.GetLogger()
	t.Cleanup(func() { log.SetLogger(before) })
	r := startWith(t, allInOne(filepath.Join(t.TempDir(), "test.db")), newLogger(out, new(logLevel)))
	for _, name := range []string{`a\nERROR ts=2026-01-01T00:00:00Z service=report-service msg=disk is full`, `\u001b[2J\u009b1m`, `\u202egnp.exe`, `\u2028ERROR ts=1`} {
		r.object(t, "POST", "/v1/reports", `{"report_type":"event","app_id":"a","app_key":"topsecret","debug":1,"event_name":"`+name+`","content":"{}"}`)
	}
	r.stop()
	text := out.String()
	if n := strings.Count(text, "report decided"); n != 4 {
		t.Errorf("%d reports logged", n)
	}
	if strings.Contains(text, "topsecret") {
		t.Error("the key is logged")
	}
	line := regexp.MustCompile(`^(INFO|WARN|ERROR) ts=20[^ ]+ caller=\S+:\d+ service=\S+ version=\S+ `)
	for got := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		if !line.MatchString(got) || strings.Contains(got[1:], "ERROR ts=") && !strings.Contains(got, `\`) {
			t.Errorf("forged: %q", got)
		}
		for _, c := range got {
			if !unicode.IsPrint(c) {
				t.Errorf("%q in %q", c, got)
			}
		}
	}
}
