package program

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// verdict remembers how a test ended.
type verdict struct {
	testing.TB
	skipped, failed string
}

func (*verdict) Helper()                          {}
func (v *verdict) Skipf(format string, a ...any)  { v.skipped = fmt.Sprintf(format, a...) }
func (v *verdict) Fatalf(format string, a ...any) { v.failed += fmt.Sprintf(format, a...) }

func TestMissingProgramSkipsLocallyAndFailsInCI(t *testing.T) {
	for ci, failing := range map[string]bool{"": false, "false": false, "true": true} {
		t.Setenv("CI", ci)
		var v verdict
		Missing(&v, "mosquitto", "install it")
		if (v.failed != "") != failing || !strings.Contains(v.failed+v.skipped, "mosquitto is not installed") {
			t.Errorf("CI=%q: failed %q, skipped %q", ci, v.failed, v.skipped)
		}
	}
}

func TestProcessThatEndsByItself(t *testing.T) {
	t.Parallel()
	path := LookPath("false")
	if path == "" {
		Missing(t, "false", "it comes with every Unix")
	}
	p := &Process{Path: path}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	<-p.exited
	if err := p.Alive(); !errors.Is(err, ErrNotRunning) || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("alive: %v", err)
	}
	if err := p.Signal(SigTerminate); !errors.Is(err, ErrNotRunning) {
		t.Errorf("signal: %v", err)
	}
	if err := p.End(t.Context(), SigTerminate); err != nil {
		t.Errorf("end: %v", err)
	}
	if err := (&Process{Path: "/nonexistent"}).Start(); err == nil {
		t.Error("started what is not there")
	}
}

func TestLogKeepsTheEnd(t *testing.T) {
	t.Parallel()
	var b Log
	for range 3 {
		_, _ = b.Write(make([]byte, logKept/2))
	}
	_, _ = b.Write([]byte("the end"))
	if got := b.String(); len(got) != logKept || !strings.HasSuffix(got, "the end") {
		t.Errorf("%d bytes", len(got))
	}
}
