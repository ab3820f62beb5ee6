package terminal_test

import (
	"bytes"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kratos-mqtt/kratos-mqtt/tools/kratos-mqtt/internal/terminal"
)

// Where no bar can be drawn, a line every five seconds has the count and the rate.
func TestProgressLines(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		known := terminal.NewProgress(&out, "letters", 500)
		known.Add(100)
		wait(t, 5*time.Second)
		known.Add(150)
		wait(t, 5*time.Second)
		known.End()
		unknown := terminal.NewProgress(&out, "messages", 0)
		unknown.Add(7)
		wait(t, 6*time.Second)
		unknown.End()
		if want := "100 of 500 letters, 20/s\n250 of 500 letters, 25/s\n7 messages, 1/s\n"; out.String() != want {
			t.Errorf("%q, want %q", out.String(), want)
		}
		if known.Done() != 250 {
			t.Errorf("%d", known.Done())
		}
	})
}

// wait lets time pass.
func wait(t *testing.T, d time.Duration) {
	t.Helper()
	<-time.After(d)
	synctest.Wait()
}

// Neither a file nor every device is a terminal.
func TestIsTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if terminal.IsTerminal(null) || terminal.IsTerminal(new(bytes.Buffer)) {
		t.Error("it is a terminal")
	}
	tty, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("this system has no /dev/ptmx:", err)
	}
	defer tty.Close()
	if !terminal.IsTerminal(tty) {
		t.Error("a terminal is none")
	}
	p := terminal.NewProgress(tty, "messages", 10) // a bar
	p.Add(10)
	p.End()
	if p.Done() != 10 {
		t.Errorf("%d", p.Done())
	}
}
